"""What a request asks of the past: ``version``, ``at`` and ``at_position``."""

import re
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from commands.errors import InvalidError
from service.refusals import Refusals
from service.requests import CinelogRequest
from service.whole_numbers import asked_number

_SPACED_OFFSET = re.compile(r":[\d.]+ \d\d:?\d\d$")


class Moment(NamedTuple):
    """A moment of the past, by its time or by its number; neither is now."""

    at: datetime | None
    number: int | None

    @property
    def past(self) -> bool:
        """Whether one was given."""
        return self != _NOW


_NOW = Moment(None, None)
_EITHER = {
    "version": "Give either version or at.",
    "at_position": "Give either at or at_position.",
}


def asked_moment(
    request: CinelogRequest, name: Literal["version", "at_position"], refusals: Refusals
) -> Moment:
    """Return what ``at`` or the number called ``name`` asks for; both are one too many."""
    at: datetime | None = None
    number: int | None = None
    with refusals:
        at = asked_time(request)
    with refusals:
        number = asked_number(request, name)
    if request.asked("at") and request.asked(name):
        refusals.add(InvalidError({"at": [_EITHER[name]]}))
    return Moment(at, number)


def asked_time(request: CinelogRequest) -> datetime | None:
    """Return ``at``, None where it is not given or blank. Raises InvalidError.

    Without an offset it is UTC, and a ``+`` may have become a space.
    """
    given = request.asked("at")
    if not given:
        return None
    if _SPACED_OFFSET.search(given):
        given = "+".join(given.rsplit(" ", 1))
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidError({"at": ["Enter a valid date/time."]}) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
