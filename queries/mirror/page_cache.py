"""Pages of lists and rows of movies that one process keeps for the next requests."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from projections.records import HEADER
from queries.movie_query import MovieQuery

MAX_ROWS, MAX_PAGES = 10_000, 1_000
MAX_CHANGES = 2_000
MAX_BYTES = 16 * 2**20
"""The most bytes of rows that are kept, and of rows in pages."""
_OVERHEAD_BYTES = 200  # of a small object in a dictionary


@dataclass(frozen=True)
class Page:
    """A page of a list; ``rows`` are JSON objects, ``position`` is the least that they show.

    ``page`` is 0 where the page was asked for by a seek key. The same page is returned as long as
    nothing changes, so ``rendered`` may keep what is made of it.
    """

    count: int
    rows: list[bytes]
    page: int
    last_page: int
    position: int
    more: bool
    rendered: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)


class RowCache:
    """JSON of movies by id; those used last are kept."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, bytes] = OrderedDict()
        self._changed: OrderedDict[str, int] = OrderedDict()
        self.changes = 0
        """Counts the changes of movies."""
        self.memory_bytes = 0

    def add(self, rows: Iterable[tuple[str, bytes | None]]) -> None:
        """Keep rows; None for a movie that does not exist."""
        for movie_id, row in rows:
            if row is not None:
                self._remove(movie_id)
                self._rows[movie_id] = row
                self.memory_bytes += len(row) + _OVERHEAD_BYTES
        while len(self._rows) > MAX_ROWS or self.memory_bytes > MAX_BYTES:
            self._remove(next(iter(self._rows)))

    def forget(self, record: bytes) -> None:
        """Remove the row of a movie that changed."""
        movie_id = str(UUID(bytes=HEADER.unpack_from(record)[2]))
        self._remove(movie_id)
        self.changes += 1
        self._changed[movie_id] = self.changes
        self._changed.move_to_end(movie_id)
        if len(self._changed) > MAX_CHANGES:
            self._changed.popitem(last=False)

    def unchanged_since(self, changes: int, ids: Sequence[str]) -> bool:
        """Return whether these movies have not changed since there were so many ``changes``."""
        if self.changes - changes > MAX_CHANGES:  # older ones are forgotten
            return False
        return all(self._changed.get(movie_id, 0) <= changes for movie_id in ids)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Return those ids whose rows are not kept."""
        return [movie_id for movie_id in ids if movie_id not in self._rows]

    def of(self, ids: Sequence[str]) -> list[bytes]:
        """Return rows that are kept."""
        for movie_id in ids:
            self._rows.move_to_end(movie_id)
        return [self._rows[movie_id] for movie_id in ids]

    def _remove(self, movie_id: str) -> None:
        if (row := self._rows.pop(movie_id, None)) is not None:
            self.memory_bytes -= len(row) + _OVERHEAD_BYTES


class PageCache:
    """Pages of one version of a list; those of another version are forgotten."""

    def __init__(self) -> None:
        self._version: object = None
        self._pages: OrderedDict[MovieQuery, Page] = OrderedDict()
        self.memory_bytes = 0

    def get(self, query: MovieQuery, version: object) -> Page | None:
        """Return the page of a query, if it is kept in this version."""
        if self._version is not version:
            self._version, self.memory_bytes = version, 0
            self._pages.clear()
        if (page := self._pages.get(query)) is not None:
            self._pages.move_to_end(query)
        return page

    def add(self, query: MovieQuery, version: object, page: Page) -> None:
        """Keep the page of a query."""
        self.get(query, version)
        if query not in self._pages:
            self.memory_bytes += _size(page)
        self._pages[query] = page
        while len(self._pages) > MAX_PAGES or self.memory_bytes > MAX_BYTES:
            self.memory_bytes -= _size(self._pages.popitem(last=False)[1])


def _size(page: Page) -> int:
    # What is rendered of it is about as large as its rows, which the row cache counts.
    return 2 * (sum(map(len, page.rows)) + _OVERHEAD_BYTES)
