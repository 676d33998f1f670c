"""Times are RFC 3339 and nothing else."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.rfc3339 import is_timestamp, parse_rfc3339, rfc3339

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-26T12:00:00Z", NOON),
        ("2026-11-26t12:00:00z", NOON),
        ("2026-11-26T14:00:00+02:00", NOON),
        ("2026-11-26T06:30:00-05:30", NOON),
        ("2026-11-26T12:00:00-00:00", NOON),
        ("2026-11-26T12:00:00.5Z", NOON + timedelta(seconds=0.5)),
        ("2026-11-26T12:00:00.000001999999999Z", NOON + timedelta(microseconds=1)),
        ("2026-11-26T23:59:60Z", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-27T01:59:60.25+02:00", datetime(2026, 11, 27, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("0000-02-29T12:00:00Z", EARLIEST),
        ("0001-01-01T00:00:00+00:01", EARLIEST),
        ("9999-12-31T23:59:59-00:01", LATEST),
        ("9999-12-31T23:59:60Z", LATEST),
    ],
)
def test_valid_times_are_parsed(text, time):
    assert parse_rfc3339(text) == time
    assert is_timestamp(rfc3339(parse_rfc3339(text)))


@pytest.mark.parametrize(
    "text",
    [
        "20261126100000Z",
        "1764123112345",
        "2026-11-26",
        "2026-11-26+02:00",
        "2026-11-26T12:00:00",
        "2026-11-26T12:00Z",
        "2026-11-26T12Z",
        "2026-11-26T120000Z",
        "2026-11-26T12:00:00.Z",
        "2026-11-26T12:00:00,5Z",
        "2026-11-26T12:00:00+02",
        "2026-11-26T12:00:00+0200",
        "2026-11-26T12:00:00+24:00",
        "2026-11-26T12:00:00+02:60",
        "2026-11-26T12:00:00+02:00:00",
        "2026-11-26T12:00:00+-2:00",
        "2026-11-26T12:00:00ZZ",
        "2026-11-26T12:00:00Z+02:00",
        "2026-11-26T24:00:00Z",
        "2026-11-26T12:60:00Z",
        "2026-11-26T12:00:60Z",
        "2026-11-26T23:59:61Z",
        "2026-11-26T23:59:60+02:00",
        "2026-13-01T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "0000-02-30T12:00:00Z",
        "2026-1-2T12:00:00Z",
        "02026-11-26T12:00:00Z",
        "26-11-26T12:00:00Z",
        "+2026-11-26T12:00:00Z",
        "-2026-11-26T12:00:00Z",
        "2026-330T12:00:00Z",
        "2026-W48-4T12:00:00Z",
        "2026/11/26T12:00:00Z",
        "２０２６-11-26T12:00:00Z",
        "2026-11-26T12:00:0０Z",
        "2026-11-26T12:00:00\u200bZ",
    ],
)
def test_invalid_texts_are_refused(text):
    with pytest.raises(ValueError, match=r".") as refused:
        parse_rfc3339(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize("text", ["", " ", "2026-11-26 12:00:00Z", "2026-11-26T12:00:00Z\n"])
def test_white_space_is_invalid(text):
    with pytest.raises(ValueError, match=r"not RFC 3339"):
        parse_rfc3339(text)


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))))
)
def test_a_time_survives_a_round_trip(time):
    """A time whose UTC lies outside the calendar becomes its first or last moment."""
    text = time.isoformat(timespec="microseconds")
    found = parse_rfc3339(text)
    if found not in (EARLIEST, LATEST):
        assert found == time


@given(
    st.text("0123456789-:.TtZz+ ", max_size=30)
    | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]?[0-9:.]{0,12}[Zz+-]?[0-9:]{0,6}\Z")
)
def test_parser_agrees_with_python(text):
    """A text that is accepted is the same time in Python."""
    try:
        found = parse_rfc3339(text)
    except ValueError:
        return
    assert len(text) >= len("2026-11-26T12:00:00Z")
    if ":60" not in text and not text.startswith("0000"):
        read = datetime.fromisoformat(text.upper())
        assert abs(found - read.astimezone(UTC)) < timedelta(milliseconds=1)
