"""What a request asks of the past: ``version``, ``at`` and ``at_position``."""

import re
from datetime import datetime
from typing import Literal, NamedTuple

from commands.errors import InvalidError
from commands.rfc3339 import parse_rfc3339
from service.web.error_collector import ErrorCollector
from service.web.integers import integer_param
from service.web.request import CinelogRequest

# In a query a plus sign says space.
_SPACED_OFFSET = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")


class AsOf(NamedTuple):
    """A moment of the past, by its time or by its number; neither is now."""

    at: datetime | None
    number: int | None

    @property
    def past(self) -> bool:
        """Whether one was given."""
        return self != _NOW


_NOW = AsOf(None, None)
_EITHER = {
    "version": "Give either version or at.",
    "at_position": "Give either at or at_position.",
}


def parse_as_of(
    request: CinelogRequest, name: Literal["version", "at_position"], refusals: ErrorCollector
) -> AsOf:
    """Return what ``at`` or the number called ``name`` asks for; both are one too many."""
    at: datetime | None = None
    number: int | None = None
    with refusals:
        at = time_param(request)
    with refusals:
        number = integer_param(request, name)
    if request.asked("at") and request.asked(name):
        refusals.add(InvalidError({"at": [_EITHER[name]]}))
    return AsOf(at, number)


def time_param(request: CinelogRequest, name: str = "at") -> datetime | None:
    """Return the time (RFC 3339) that a parameter asks for, None where it is absent or blank.

    Raises InvalidError.
    """
    given = request.asked(name)
    if not given:
        return None
    try:
        return parse_rfc3339(_SPACED_OFFSET.sub("+", given))
    except ValueError:
        raise InvalidError({name: ["Enter a valid date/time."]}) from None
