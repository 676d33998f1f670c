"""Whole numbers as requests carry them: positions, versions and counts."""

from commands.errors import InvalidError
from service.web.request import CinelogRequest

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
