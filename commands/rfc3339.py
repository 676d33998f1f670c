"""RFC 3339: how times are written in events and answers."""

import re
from datetime import UTC, datetime

_STORED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def rfc3339(time: datetime) -> str:
    """Return ``time`` in UTC with microseconds and ``Z``: 27 characters that sort by time."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def is_stamp(text: object) -> bool:
    """Tell whether this is a time as ``rfc3339`` writes it; others cannot be compared as text."""
    return type(text) is str and _STORED.fullmatch(text) is not None
