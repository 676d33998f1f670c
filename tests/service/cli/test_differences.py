"""A difference is shown as two different texts."""

import pytest

from projections.rebuild.diff import Difference, DiffReport
from projections.records import encode_record, pack
from service.cli.read_model import diff_lines
from service.operations.reports import diff_as_json

ID = b"0123456789abcdef"
LINE = pack(encode_record(1, 1979, ID, "alien\0horror\0ann")) + b'{"id":"1"}'
OTHER = pack(encode_record(1, 1980, ID, "alien\0horror\0ann")) + b'{"id":"1"}'


def text_of(line):
    return line.decode(errors="backslashreplace").replace("\0", "\\0")


DIFFERENT = {
    "whole numbers": (1950, 1951, "1951, should be 1950"),
    "missing": (1950, None, "none, should be 1950"),
    "empty": (b"x", b"", ", should be x"),
    "the end of a line": (LINE, LINE + b"x", '{"id":"1"}x, should be {"id":"1"}'),
    "the start of a line": (
        LINE,
        OTHER,
        rf"{text_of(OTHER)}, should be {text_of(LINE)}",
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
