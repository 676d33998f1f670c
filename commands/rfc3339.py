"""RFC 3339: the format of times in events, responses and requests."""

import re
from datetime import UTC, datetime, timedelta

_STORED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
# The grammar of section 5.6; letters may be lower case, the offset is required.
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_LEAP_SECOND = 60
_LAST_MINUTE = 24 * 60 - 1
_HOURS, _MINUTES = 24, 60


def rfc3339(time: datetime) -> str:
    """Return ``time`` in UTC with microseconds and ``Z``: 27 characters that sort by time."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def is_timestamp(text: object) -> bool:
    """Return whether this is a time as ``rfc3339`` writes it; only those compare as text."""
    return type(text) is str and _STORED.fullmatch(text) is not None


def parse_rfc3339(text: str) -> datetime:
    """Return a time in UTC. Raises ValueError for a text that is not RFC 3339.

    Digits beyond microseconds are cut off. A leap second, 23:59:60 in UTC, becomes the second after
    it. A time before the year 1 or after 9999 becomes the first or last ``datetime``.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    microsecond = int((match[7] or "")[:6].ljust(6, "0"))
    ahead = _minutes_ahead(match[8], match[9], match[10])
    leap = second == _LEAP_SECOND
    if leap and (hour * _MINUTES + minute - ahead) % (24 * 60) != _LAST_MINUTE:
        raise ValueError("no leap second then")
    # The year 0 has the days of the year 4, and no datetime.
    local = datetime(year or 4, month, day, hour, minute, second - leap, microsecond, tzinfo=UTC)
    if not year:
        return _EARLIEST
    try:
        return local - timedelta(minutes=ahead) + timedelta(seconds=leap)
    except OverflowError:
        return _EARLIEST if ahead > 0 else _LATEST


def _minutes_ahead(sign: str | None, hours: str | None, minutes: str | None) -> int:
    """Return the offset from UTC. ``-00:00`` is UTC with an unknown local offset (section 4.3)."""
    if hours is None or minutes is None:
        return 0
    if int(hours) >= _HOURS or int(minutes) >= _MINUTES:
        raise ValueError("no such offset")
    ahead = int(hours) * _MINUTES + int(minutes)
    return -ahead if sign == "-" else ahead
