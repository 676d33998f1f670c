"""Numbered pages: what a request asks for, and what it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from commands.errors import NotFoundError

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 10, 100
_MAX_DIGITS = 15
T = TypeVar("T")


@dataclass(frozen=True)
class NumberedPage(Generic[T]):
    """Some of ``count`` items; ``page`` is its number, from 1 to ``last_page``."""

    count: int
    items: list[T]
    page: int
    last_page: int


def parse_page(params: Mapping[str, Sequence[str]]) -> tuple[int | None, int]:
    """Return the page number (None is the last page) and the page size. Raises NotFoundError."""
    given = last_values(params)
    return _page(given.get("page", "1")), _page_size(given.get("page_size", ""))


def page_within(count: int, page: int | None, page_size: int) -> tuple[int, int]:
    """Return the number of a page of ``count`` items, and of the last one.

    An empty list has one page. Raises NotFoundError for a page out of range.
    """
    last = max(1, -(-count // page_size))
    number = last if page is None else page
    if number > last:
        raise NotFoundError("Invalid page.")
    return number, last


def page_of(items: Sequence[T], page: int | None, page_size: int) -> NumberedPage[T]:
    """Return a page of what is all in memory. Raises NotFoundError for a page out of range."""
    number, last_page = page_within(len(items), page, page_size)
    some = items[(number - 1) * page_size : number * page_size]
    return NumberedPage(len(items), [*some], number, last_page)


def last_values(params: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the last value of each parameter, trimmed; blank ones are left out."""
    trimmed = {name: values[-1].strip() for name, values in params.items() if values}
    return {name: value for name, value in trimmed.items() if value}


def _page(text: str) -> int | None:
    if text == "last":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and int(text)):
        raise NotFoundError("Invalid page.")
    return int(text)


def _page_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        return DEFAULT_PAGE_SIZE
    # Longer numbers exceed the maximum anyway; Python refuses to parse very long ones.
    return min(MAX_PAGE_SIZE, int(text)) if len(text) <= _MAX_DIGITS else MAX_PAGE_SIZE
