"""RFC 3339: how times are written in events and answers, and read from requests."""

import re
from datetime import UTC, datetime, timedelta

_STORED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
# The grammar of section 5.6, whose letters may be small ones. Its offset is not optional.
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
    """Tell whether this is a time as ``rfc3339`` writes it; others cannot be compared as text."""
    return type(text) is str and _STORED.fullmatch(text) is not None


def parse_rfc3339(text: str) -> datetime:
    """Return the time that a text is, in UTC. Raises ValueError for all but RFC 3339.

    Digits beyond microseconds are cut off. A leap second, 23:59:60 in UTC, is the second that
    follows. A time before the year 1 or after 9999 is the first or last there is.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise ValueError("not RFC 3339")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    microsecond = int((found[7] or "")[:6].ljust(6, "0"))
    ahead = _minutes_ahead(found[8], found[9], found[10])
    leap = second == _LEAP_SECOND
    if leap and (hour * _MINUTES + minute - ahead) % (24 * 60) != _LAST_MINUTE:
        raise ValueError("no leap second then")
    # The year 0 has the days of the year 4, and lies before all that we know.
    local = datetime(year or 4, month, day, hour, minute, second - leap, microsecond, tzinfo=UTC)
    if not year:
        return _EARLIEST
    try:
        return local - timedelta(minutes=ahead) + timedelta(seconds=leap)
    except OverflowError:
        return _EARLIEST if ahead > 0 else _LATEST


def _minutes_ahead(sign: str | None, hours: str | None, minutes: str | None) -> int:
    """Return the offset from UTC. ``-00:00`` is UTC whose offset is not known (section 4.3)."""
    if hours is None or minutes is None:
        return 0
    if int(hours) >= _HOURS or int(minutes) >= _MINUTES:
        raise ValueError("no such offset")
    ahead = int(hours) * _MINUTES + int(minutes)
    return -ahead if sign == "-" else ahead
