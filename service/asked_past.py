"""What a request asks of the past: ``version`` and ``at``."""

import re
from datetime import UTC, datetime

from commands.errors import InvalidError
from service.requests import CinelogRequest
from service.whole_numbers import asked_number

_SPACED_OFFSET = re.compile(r":[\d.]+ \d\d:?\d\d$")


def asked_version(request: CinelogRequest) -> int | None:
    """Return ``version``, None where it is not given. Raises InvalidError."""
    return asked_number(request, "version")


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
