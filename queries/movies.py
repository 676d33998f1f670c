"""Questions about movies, answered from the read model."""

import hashlib
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from commands.errors import BusyError, NotFoundError, ReadModelUnavailableError
from projections.generation.state import CONSTANTS
from projections.keys import Keys
from projections.lua import Script, load_script
from queries.log.timeline import AtPosition, AtTime
from queries.movie_query import MovieQuery
from queries.orderings import index_of, sort_key
from queries.pipelining import REFUSES_WRITES
from queries.point_in_time import PointInTimeLists
from queries.read_model import ReadModel
from queries.read_position import ReadPosition

# Rows that one call of a filter looks at; Redis serves nothing else during the call.
SCAN_ROWS = 4_000
_RESTARTS = 3
# How long a cached result waits for its next page, how many are cached, and how many ids in all.
RESULT_TTL_S, MAX_RESULTS, MAX_RESULT_IDS = 15, 64, 1_000_000
_RESULTS: dict[str, str | int] = {
    "RESULT_TTL_S": RESULT_TTL_S,
    "MAX_RESULTS": MAX_RESULTS,
    "MAX_RESULT_IDS": MAX_RESULT_IDS,
}
_LIST_PAGE = load_script("queries.lua.list_page", CONSTANTS, shareable=True)
_GET_MOVIES = load_script("queries.lua.get_movies", CONSTANTS, shareable=True)
_SEARCH_PAGE = load_script("queries.lua.search_page", CONSTANTS | _RESULTS, shareable=True)
_SEARCH_PIECE = load_script("queries.lua.search_piece", CONSTANTS)
_INDEXES: dict[str, Callable[[Keys], str]] = {
    "created_at": lambda keys: keys.created,
    "title": lambda keys: keys.titles,
    "year": lambda keys: keys.years,
}
_Args = list[str | bytes | int]


@dataclass(frozen=True)
class NotModified:
    """The list is the same as at the position that the client knows."""

    position: int


@dataclass(frozen=True)
class Page:
    """A page of a list; ``rows`` are JSON objects, ``position`` is the least that they show.

    ``page`` is 0 where the page was asked for by a seek key.
    """

    count: int
    rows: list[bytes]
    page: int
    last_page: int
    position: int
    more: bool

    @classmethod
    def parse(cls, answer: list[Any], query: MovieQuery) -> Self | NotModified:
        """Parse the answer of a script. Raises NotFoundError for a page out of range."""
        word, position, *rest = answer
        if word == b"same":
            return NotModified(position)
        count, page, last, *rows = rest
        if query.after:  # then ``last`` tells whether rows follow
            return cls(count, rows, 0, 0, position, more=bool(last))
        if page > last:
            raise NotFoundError("Invalid page.")
        return cls(count, rows, page, last, position, more=page < last)


@dataclass(frozen=True)
class Readers:
    """The live read model and earlier states of it."""

    live: ReadModel
    position: ReadPosition
    past: PointInTimeLists
    position_at: Callable[[datetime], Awaitable[int]]
    """The position that the log had reached at a time."""
    name_at: Callable[[int], Awaitable[str]]
    """The name of the event at a position."""

    async def position_of(self, as_of: AtTime | AtPosition) -> int:
        """Return the position that ``as_of`` stands for."""
        if isinstance(as_of, AtPosition):
            return as_of.position
        return await self.position_at(as_of.time)


async def list_movies(  # noqa: PLR0913 - each is an input of the request
    readers: Readers,
    query: MovieQuery,
    *,
    as_of: AtTime | AtPosition | None = None,
    min_position: int = 0,
    known: int | None = None,
    wait_s: float = 0.0,
    account: Hashable = None,
) -> Page | NotModified:
    """Return a page of movies, now or at a point in time; NotModified if it is ``known``.

    Waits up to ``wait_s`` for the read model to reach a position. Raises what ``read_page`` does,
    and ReadModelUnavailableError while the list as of then is being built.
    """
    if as_of is None:
        await readers.position.wait_for(min_position, wait_s)
        return await read_page(
            readers.live, query, known, min_position=min_position, account=account
        )
    position = await readers.position_of(as_of)
    # No generation is built for a state that the live one may still show.
    if readers.position.current[1] <= position and await readers.position.wait_for(
        position, wait_s
    ):
        with suppress(NotFoundError, ReadModelUnavailableError):
            page = await read_page(readers.live, query, known, account=account)
            if page.position == position:
                return page
            if position < page.position <= await readers.position_of(as_of):
                return page
    past = await readers.past.at(position, await readers.name_at(position), str(account))
    return await read_page(past, query, known, account=account)


async def read_page(
    reader: ReadModel,
    query: MovieQuery,
    known: int | None = None,
    *,
    min_position: int = 0,
    account: Hashable = None,
) -> Page | NotModified:
    """Return a page of one generation, NotModified where nothing changed since ``known``.

    Scans of several accounts take turns. Raises NotFoundError for a page out of range,
    ReadModelUnavailableError, BusyError, and ThrottledError where the account has too many scans
    in line.
    """
    search = _Search(reader, query, "" if known is None else known, min_position, account)
    if index_of(query.orderings) is None or query.filtered:
        return Page.parse(await search.answer(), query)
    index = _INDEXES[query.orderings[0].field]
    answer = await reader.ask(
        _LIST_PAGE,
        lambda keys: (*keys.listed, index(keys)),
        [*_paging(query), search.known],
        min_position=min_position,
    )
    return Page.parse(answer, query)


async def get_movie(
    reader: ReadModel, movie_id: UUID, *, min_position: int = 0
) -> tuple[bytes | None, int]:
    """Return a movie's JSON, None where there is none, and the position that shows it."""
    _, position, *rows = await reader.ask(
        _GET_MOVIES, lambda keys: keys.listed, [str(movie_id)], min_position=min_position
    )
    return rows[0] if rows else None, position


def _paging(query: MovieQuery) -> _Args:
    by = index_of(query.orderings)
    seek: str | bytes | int = query.page or 0
    if query.after:
        seek = query.after if by else sort_key(query.after, query.orderings)
    return [by.field if by else "key", int(by.descending) if by else 1, seek, query.page_size]


@dataclass(frozen=True)
class _Search:
    """A list that no index has: Redis looks at every row, in pieces."""

    reader: ReadModel
    query: MovieQuery
    known: str | int
    min_position: int
    account: Hashable

    async def answer(self) -> list[Any]:
        """Return the answer that ``Page.parse`` takes."""
        query = self.query
        # A text that is no valid Unicode is in no title; it must only not stop the others.
        texts = (query.title, query.genre, query.creator, query.search)
        filters: _Args = [text.encode("utf-8", "surrogatepass") for text in texts]
        filters += [query.year_from, query.year_to]
        try:
            return await self._cached(filters)
        except ReadModelUnavailableError as error:
            if not str(error.__cause__).startswith(REFUSES_WRITES):
                raise
        return await self._uncached(filters)

    async def _piece(
        self, script: Script, keys: Callable[[Keys], Sequence[str]], args: _Args
    ) -> list[Any]:
        async with self.reader.scans.of(self.account):
            return await self.reader.ask(script, keys, args, min_position=self.min_position)

    async def _cached(self, filters: _Args) -> list[Any]:
        """Have Redis collect the hits in a key that serves later pages too."""
        query = self.query
        by = index_of(query.orderings)
        # Hits that are ordered by an index's field are read in both directions.
        order = by.field if by else ",".join(map(str, query.orderings))
        digest = hashlib.blake2b(repr((filters, order)).encode(), digest_size=16).hexdigest()
        start: str | int = ""
        restarts = 0
        while restarts <= _RESTARTS:
            ordering, *paging = _paging(query)
            args = [*paging, self.known, start, digest, ordering, order, *filters, SCAN_ROWS]
            answer = await self._piece(
                _SEARCH_PAGE,
                lambda keys: (*keys.listed, keys.cached_results, keys.cached_result_prefix),
                args,
            )
            if answer[0] != b"more":
                return answer
            # A scan that was evicted begins again, at a later position.
            restarts += start not in ("", answer[1])
            start = answer[1]
        raise BusyError("too many filters at once")

    async def _uncached(self, filters: _Args) -> list[Any]:
        """Collect the hits here, without a write: for a Redis whose disk is full."""
        query = self.query
        order = ",".join(map(str, query.orderings))
        cursor, hits, positions = b"", set[bytes](), set[int]()
        while cursor != b"done":
            args = [cursor, self.known, "key", order, *filters, SCAN_ROWS]
            word, position, *rest = await self._piece(_SEARCH_PIECE, lambda keys: keys.listed, args)
            if word == b"same":
                return [word, position]
            cursor, *found = rest
            hits.update(found)
            positions.add(position)
        size, keys = query.page_size, sorted(hits, reverse=True)
        last = max(1, -(-len(keys) // size))
        page = query.page or last
        rank = (page - 1) * size
        if query.after:
            after = sort_key(query.after, query.orderings)
            rank = sum(key >= after for key in keys)
            last = int(rank + size < len(keys))
        ids = [key[-36:] for key in keys[rank : rank + size]]
        _, position, *rows = await self.reader.ask(_GET_MOVIES, lambda keys: keys.listed, ids)
        if positions != {position}:
            raise ReadModelUnavailableError("it changed while it was read")
        return [b"page", position, len(keys), page, last, *rows]
