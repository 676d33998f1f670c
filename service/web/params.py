"""Query parameters and numbers, and reporting the errors of several inputs at once."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, overload

from commands.errors import InvalidError, RefusedError
from commands.rfc3339 import parse_rfc3339
from queries.log.timeline import AtTime
from service.web.request import CinelogRequest

MAX_NUMBER = 2**53
TRUE = frozenset({"", "1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
_MOST_DIGITS = len(str(MAX_NUMBER))
# A plus sign in a query string means a space.
_SPACED_OFFSET = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")

_EITHER = {"version": "version or at", "at_position": "at or at_position"}

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


@overload
def parse_all(a: Callable[[], A], b: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def parse_all(a: Callable[[], A], b: Callable[[], B], c: Callable[[], C], /) -> tuple[A, B, C]: ...
def parse_all(*parsers: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what each parser returns. Raises one error with the errors of all of them.

    Errors of fields come before any other refusal, such as an invalid page.
    """
    parsed: list[Any] = []
    errors: dict[str, list[str]] = {}
    other: RefusedError | None = None
    for parse in parsers:
        try:
            parsed.append(parse())
        except RefusedError as error:
            if isinstance(error, InvalidError) and error.errors:
                for field, messages in error.errors.items():
                    errors.setdefault(field, []).extend(messages)
            else:
                other = other or error
    if errors:
        raise InvalidError(errors)
    if other:
        raise other
    return tuple(parsed)


def parse_integer(text: str) -> int | None:
    """Return the integer from 0 to 2**53 that ``text`` is, None for anything else.

    Any number of leading zeros is allowed.
    """
    if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > _MOST_DIGITS:
        return None
    number = int(text[-_MOST_DIGITS:])  # Python refuses to read very long ones
    return number if number <= MAX_NUMBER else None


def integer_param(request: CinelogRequest, name: str) -> int | None:
    """Return a query parameter, None where it is absent or blank. Raises InvalidError."""
    text = request.param(name)
    if not text:
        return None
    number = parse_integer(text)
    if number is None:
        raise InvalidError({name: ["Enter a number."]})
    return number


def boolean_param(request: CinelogRequest, name: str) -> bool:
    """Return whether a flag is set; a name without a value sets it.

    Of repeated values the last counts. Raises InvalidError for any other value.
    """
    params = request.get_args(keep_blank_values=True)
    if name not in params:
        return False
    value = params[name][-1].strip().lower()
    if value not in TRUE | FALSE:
        raise InvalidError({name: ["Must be a valid boolean."]})
    return value in TRUE


def time_param(request: CinelogRequest, name: str) -> datetime | None:
    """Return an RFC 3339 time, None where it is absent or blank. Raises InvalidError."""
    text = request.param(name)
    if not text:
        return None
    try:
        return parse_rfc3339(spell_offset(text))
    except ValueError:
        raise InvalidError({name: ["Enter a valid date/time."]}) from None


def spell_offset(text: str) -> str:
    """Return the text of a time with the plus sign that a query string turned into a space."""
    return _SPACED_OFFSET.sub("+", text)


def as_of_param(
    request: CinelogRequest, name: str, state_at: Callable[[int], A]
) -> AtTime | A | None:
    """Return the state that ``at`` or the integer ``name`` asks for, None for the current one.

    Raises InvalidError, also where both are given.
    """

    def check() -> None:
        if request.param("at") and request.param(name):
            raise InvalidError({"at": [f"Give either {_EITHER[name]}."]})

    at, number, _ = parse_all(
        lambda: time_param(request, "at"), lambda: integer_param(request, name), check
    )
    if at is not None:
        return AtTime(at)
    return None if number is None else state_at(number)
