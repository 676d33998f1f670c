"""What a request asks of the past: ``version`` and ``at``."""

import re
from datetime import UTC, datetime

from commands.errors import InvalidError
from service.requests import CinelogRequest

_MAX_DIGITS = 16
_SPACED_OFFSET = re.compile(r":[\d.]+ \d\d:?\d\d$")


def asked_version(request: CinelogRequest) -> int | None:
    """Return ``version``, None where it is not given. Raises InvalidError."""
    if "version" not in request.args:
        return None
    given = request.args["version"][-1].strip()
    if not (given.isascii() and given.isdigit() and len(given) < _MAX_DIGITS):
        raise InvalidError({"version": ["Enter a number."]})
    return int(given)


def asked_time(request: CinelogRequest) -> datetime | None:
    """Return ``at``, None where it is not given. Raises InvalidError.

    Without an offset it is UTC, and a ``+`` may have become a space.
    """
    if "at" not in request.args:
        return None
    given = request.args["at"][-1].strip()
    if _SPACED_OFFSET.search(given):
        given = "+".join(given.rsplit(" ", 1))
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidError({"at": ["Enter a valid date/time."]}) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
