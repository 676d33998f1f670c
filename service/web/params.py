"""Query parameters and numbers of a request."""

import re
from datetime import datetime
from typing import Literal, NamedTuple

from commands.errors import InvalidError
from commands.rfc3339 import parse_rfc3339
from service.web.error_collector import ErrorCollector
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


MAX_NUMBER = 2**53
_MOST_DIGITS = len(str(MAX_NUMBER))


def parse_integer(text: str) -> int | None:
    """Return the number from 0 to 2**53 that ``text`` is, None for anything else.

    Leading zeros are fine, however many.
    """
    if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > _MOST_DIGITS:
        return None
    number = int(text[-_MOST_DIGITS:])  # Python refuses to read very long ones
    return number if number <= MAX_NUMBER else None


def integer_param(request: CinelogRequest, name: str) -> int | None:
    """Return a query parameter, None where it is not given or blank. Raises InvalidError."""
    given = request.asked(name)
    if not given:
        return None
    number = parse_integer(given)
    if number is None:
        raise InvalidError({name: ["Enter a number."]})
    return number


TRUE = frozenset({"", "1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


def boolean_param(request: CinelogRequest, name: str) -> bool:
    """Return whether a flag is set, which it is where only its name is given.

    Of repeated ones the last counts. Raises InvalidError for what is neither true nor false.
    """
    given = request.get_args(keep_blank_values=True)
    if name not in given:
        return False
    said = given[name][-1].strip().lower()
    if said not in TRUE | FALSE:
        raise InvalidError({name: ["Must be a valid boolean."]})
    return said in TRUE
