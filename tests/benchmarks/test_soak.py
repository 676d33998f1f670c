"""The summary of a soak."""

import pytest

from benchmarks.soak import growth


def test_the_first_fifth_does_not_count():
    assert growth([1] * 6 + [10] * 24) == 0


def test_growth_is_told_as_a_share():
    assert growth([10] * 14 + [10.5] * 16) == pytest.approx(0.05)
