"""A difference is shown as two different texts."""

import pytest

from projections.rebuild.diff import Difference, DiffReport
from service.cli.read_model import diff_as_json, diff_lines

LINE = b'1979\0alien\0{"id":"1"}'
OTHER = b'1980\0alien\0{"id":"1"}'
DIFFERENT = {
    "whole numbers": (1950.0, 1951.0, "1951, should be 1950"),
    "a fraction": (1950.0, 1950.4, "1950.4, should be 1950"),
    "infinity": (1950.0, float("inf"), "inf, should be 1950"),
    "missing": (1950.0, None, "none, should be 1950"),
    "empty": (b"x", b"", ", should be x"),
    "the end of a line": (LINE, LINE + b"x", '{"id":"1"}x, should be {"id":"1"}'),
    "the start of a line": (
        LINE,
        OTHER,
        r'1980\0alien\0{"id":"1"}, should be 1979\0alien\0{"id":"1"}',
    ),
    "binary": (b"\xff", b"\xfe", r"\xfe, should be \xff"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_both_values_are_shown(case):
    wanted, shown, text = DIFFERENT[case]
    report = DiffReport()
    report.add(Difference("rows", b"1", wanted, shown))
    assert next(diff_lines(report)) == f"rows 1: {text}"
    (found,) = diff_as_json(report)["differences"]
    assert found["wanted"] != found["shown"]
