"""The query of a list request: filters, ordering and page, parsed from its parameters."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from commands.errors import InvalidError
from commands.text import fold
from queries.orderings import NEWEST_FIRST, Orderings, parse_orderings
from queries.pages import DEFAULT_PAGE_SIZE, last_values, parse_page

# No movie lies outside these years. Bounds are clipped before they become integers, so that
# 1e999999999 costs no more than 2018.
_BEFORE_ALL, _AFTER_ALL = 0, 10_000

TEXTS = {"title": "title", "genre": "genre", "creator__username": "creator", "search": "search"}
NUMBERS = ("year", "year__gt", "year__lt", "year__gte", "year__lte")


@dataclass(frozen=True)
class MovieQuery:
    """Filters, order and page of a list of movies.

    Texts are folded, "" means no filter. Both years are included. ``page`` None is the last page.
    ``after`` replaces ``page``: the rows begin after this seek key (``queries/orderings.py``).
    """

    title: str = ""
    genre: str = ""
    creator: str = ""
    search: str = ""
    year_from: int = _BEFORE_ALL
    year_to: int = _AFTER_ALL
    orderings: Orderings = NEWEST_FIRST
    page: int | None = 1
    page_size: int = DEFAULT_PAGE_SIZE
    after: str = ""


def parse_query(params: Mapping[str, Sequence[str]]) -> MovieQuery:
    """Return the query of ``params``.

    Of repeated parameters the last counts; values are trimmed, blank and unknown ones ignored.
    Raises InvalidError with every error, NotFoundError for an invalid page.
    """
    given = last_values(params)
    orderings = _check(given)
    year_from, year_to = _years(given)
    page, page_size = parse_page(params)
    return MovieQuery(
        **{field: fold(_compared(name, given)) for name, field in TEXTS.items()},
        year_from=year_from,
        year_to=year_to,
        orderings=orderings,
        page=page,
        page_size=page_size,
    )


def _compared(name: str, given: Mapping[str, str]) -> str:
    """Return the text of a filter; usernames are stored in compatibility form (NFKC)."""
    text = given.get(name, "")
    return unicodedata.normalize("NFKC", text) if name == "creator__username" else text


def _check(given: Mapping[str, str]) -> Orderings:
    """Return the orderings. Raises InvalidError for orderings and filters."""
    orderings = NEWEST_FIRST
    errors: dict[str, list[str]] = {}
    for name in (*TEXTS, *NUMBERS):
        if "\0" in given.get(name, ""):
            errors[name] = ["Null characters are not allowed."]
        elif name in NUMBERS and name in given and _number(given[name]) is None:
            errors[name] = ["Enter a number."]
    try:
        orderings = parse_orderings(given.get("ordering", ""))
    except InvalidError as error:
        errors |= {name: [*messages] for name, messages in error.errors.items()}
    if errors:
        raise InvalidError(errors)
    return orderings


def _number(text: str) -> Decimal | None:
    """Return a finite number, None for anything else; ``1_0`` is a number only in Python."""
    try:
        number = Decimal(text) if "_" not in text else Decimal("nan")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _years(given: Mapping[str, str]) -> tuple[int, int]:
    """Return the first and the last year that pass; fractions are compared exactly."""
    low, high = _BEFORE_ALL, _AFTER_ALL
    for name in NUMBERS:
        number = _number(given[name]) if name in given else None
        if number is None:
            continue
        # One year beyond the bounds excludes every movie.
        year = min(max(number, Decimal(_BEFORE_ALL) - 1), Decimal(_AFTER_ALL) + 1)
        if name in ("year", "year__gte"):
            low = max(low, math.ceil(year))
        if name in ("year", "year__lte"):
            high = min(high, math.floor(year))
        if name == "year__gt":
            low = max(low, math.floor(year) + 1)
        if name == "year__lt":
            high = min(high, math.ceil(year) - 1)
    return low, high
