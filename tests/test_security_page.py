"""The page on security names tests; each of them must be there."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parent / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file, test):
    assert f"def {test}(" in (HERE / file).read_text()


def test_every_point_of_the_list_names_a_test():
    points = re.split(r"^\*\*API\d+ ", PAGE, flags=re.MULTILINE)[1:]
    assert len(points) == 10
    assert all("::test_" in point for point in points)
