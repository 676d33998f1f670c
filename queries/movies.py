"""Questions about movies, answered from the read model."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from redis.exceptions import ResponseError

from commands.errors import BusyError, NotFoundError, ReadModelUnavailableError
from projections.generation.state import CONSTANTS
from projections.keys import LIVE, Keys
from projections.lua import Script, load_script, number_field
from queries.movie_query import MovieQuery
from queries.orderings import index_of, sort_key
from queries.pipelining import REFUSES_WRITES, RequestBatcher
from queries.turns import Turns

# Rows that one call of a filter looks at: Redis does nothing else in the meantime.
SCAN_ROWS = 4_000
# Scans that one process lets Redis do in one round trip: others of its questions wait for them.
_SCANS, _SCANS_WAITING = 2, 256
_RESTARTS = 3
# How long a cached result waits for its next page, how many are cached, and how many ids in all.
RESULT_TTL_S, MAX_RESULTS, MAX_RESULT_IDS = 15, 64, 1_000_000
_RESULTS: dict[str, str | int] = {
    "RESULT_TTL_S": RESULT_TTL_S,
    "MAX_RESULTS": MAX_RESULTS,
    "MAX_RESULT_IDS": MAX_RESULT_IDS,
}
_LIST_PAGE = load_script("queries.lua.list_page", CONSTANTS, shareable=True)
_GET_MOVIE = load_script("queries.lua.get_movie", CONSTANTS, shareable=True)
_GET_MOVIES = load_script("queries.lua.get_movies", CONSTANTS)
_SEARCH_PAGE = load_script("queries.lua.search_page", CONSTANTS | _RESULTS, shareable=True)
_SEARCH_PIECE = load_script("queries.lua.search_piece", CONSTANTS)
_INDEXES: dict[str, Callable[[Keys], str]] = {
    "created_at": lambda keys: keys.created,
    "title": lambda keys: keys.titles,
    "year": lambda keys: keys.years,
}


@dataclass(frozen=True)
class Page:
    """A page of a list; ``rows`` are JSON objects, ``position`` is what the page shows at least.

    ``page`` is 0 for one that was asked for by its place. ``more`` tells whether others follow.
    """

    count: int
    rows: list[bytes]
    page: int
    last_page: int
    position: int
    more: bool


@dataclass(frozen=True)
class NotModified:
    """Nothing has changed since ``position``, whose page the asker has."""

    position: int


class ReadModel:
    """Asks the live generation, and finds it again when another takes its place."""

    def __init__(self, trips: RequestBatcher, log: Callable[[], str] = lambda: "") -> None:
        """``log`` tells the identity of the log that the generation must show, "" for any."""
        self.trips = trips
        self._log = log
        self._found_for = ""
        self.scans = Turns("filters", running=_SCANS, waiting=_SCANS_WAITING)
        self._generation: int | None = None

    async def ask(
        self,
        script: Script,
        keys: Callable[[Keys], Sequence[str]],
        args: Sequence[str | bytes | int] = (),
        *,
        min_position: int = 0,
    ) -> list[Any]:
        """Return a script's answer, whose second item is the position it shows.

        Raises ReadModelUnavailableError where no generation is live or less is shown than
        ``min_position``.
        """
        for known in (self._known(), None):
            generation = known if known is not None else await self._live()
            try:
                answer: list[Any] = await self.trips.script(script, keys(Keys(generation)), args)
            except ResponseError as error:  # something in it is not ours
                raise ReadModelUnavailableError("it cannot be read") from error
            if answer[0] == b"gone":
                reason = "it is being built"
            elif answer[1] < min_position:
                reason = "it has not reached that position yet"
            else:
                return answer
        raise ReadModelUnavailableError(reason)

    async def is_parked(self, movie_id: UUID) -> bool:
        """Tell whether a movie is put aside: none of its later events is shown."""
        known = self._known()
        generation = known if known is not None else await self._live()
        try:
            return bool(await self.trips.call("HEXISTS", Keys(generation).parked, str(movie_id)))
        except ResponseError as error:  # it is no hash
            raise ReadModelUnavailableError("it cannot be read") from error

    def _known(self) -> int | None:
        return self._generation if self._found_for == self._log() else None

    async def _live(self) -> int:
        self._generation, log = None, self._log()
        try:
            generation = number_field(await self.trips.call("GET", LIVE))
        except ResponseError:  # the pointer is no text
            generation = None
        if not generation:
            raise ReadModelUnavailableError("it is being built")
        shown = await self._shown(generation) if log else ""
        # One that an earlier release built does not tell.
        if shown and shown != log:
            raise ReadModelUnavailableError("it is being built for another state of the log")
        self._generation, self._found_for = generation, log
        return generation

    async def _shown(self, generation: int) -> str:
        try:
            shown: bytes | None = await self.trips.call("HGET", Keys(generation).head, "log")
        except ResponseError:  # it is no hash
            return ""
        return (shown or b"").decode(errors="replace")


async def list_movies(reader: ReadModel, query: MovieQuery, *, min_position: int = 0) -> Page:
    """Return a page of movies.

    Raises NotFoundError for a page out of range, ReadModelUnavailableError, BusyError.
    """
    page = await list_changed(reader, query, None, min_position=min_position)
    assert isinstance(page, Page)  # noqa: S101 - nothing is unchanged since never
    return page


async def list_changed(
    reader: ReadModel,
    query: MovieQuery,
    since: int | None,
    *,
    min_position: int = 0,
    account: Hashable = None,
) -> Page | NotModified:
    """Return a page of movies, or that nothing has changed since a position; see list_movies.

    Searches of several accounts take turns. Raises ThrottledError where the account has too many
    of them in line.
    """
    known = "" if since is None else since
    if index_of(query.orderings) and not query.filtered:
        answer = await _list(reader, query, known, min_position)
    else:
        answer = await _find(reader, query, known, min_position, account)
    word, position, *facts = answer
    if word == b"same":
        return NotModified(position)
    count, number_field, last, *rows = facts
    if query.after:
        return Page(count, rows, 0, 0, position, more=bool(last))
    if number_field > last:
        raise NotFoundError("Invalid page.")
    return Page(count, rows, number_field, last, position, more=number_field < last)


async def get_movie(
    reader: ReadModel, movie_id: UUID, *, min_position: int = 0
) -> tuple[bytes | None, int]:
    """Return a movie's JSON, None where there is none, and the position that shows it."""
    _, position, row = await reader.ask(
        _GET_MOVIE, lambda keys: keys.listed, [str(movie_id)], min_position=min_position
    )
    return row, position


def _paging(query: MovieQuery) -> list[str | bytes | int]:
    by = index_of(query.orderings)
    place: str | bytes | int = query.page or 0
    if query.after:
        key = sort_key(query.after, query.orderings)  # checks the place
        place = query.after if by else key
    return [by.field if by else "key", int(by.descending) if by else 1, place, query.page_size]


async def _list(
    reader: ReadModel, query: MovieQuery, since: str | int, min_position: int
) -> list[Any]:
    index = _INDEXES[query.orderings[0].field]
    return await reader.ask(
        _LIST_PAGE,
        lambda keys: (*keys.listed, index(keys)),
        [*_paging(query), since],
        min_position=min_position,
    )


class _Search(NamedTuple):
    """A filtered list that is asked for; ``filters`` as the scripts take them."""

    query: MovieQuery
    since: str | int
    min_position: int
    account: Hashable
    filters: list[str | bytes | int]


async def _find(
    reader: ReadModel, query: MovieQuery, since: str | int, min_position: int, account: Hashable
) -> list[Any]:
    # A text that is no valid Unicode is in no title; it must only not stop the others.
    texts = [
        text.encode("utf-8", "surrogatepass")
        for text in (query.title, query.genre, query.creator, query.search)
    ]
    filters: list[str | bytes | int] = [*texts, query.year_from, query.year_to]
    search = _Search(query, since, min_position, account, filters)
    try:
        return await _find_kept(reader, search)
    except ReadModelUnavailableError as error:
        if not str(error.__cause__).startswith(REFUSES_WRITES):
            raise
    return await _find_unkept(reader, search)


async def _find_kept(reader: ReadModel, search: _Search) -> list[Any]:
    query, since, min_position, account, filters = search
    by = index_of(query.orderings)
    # What is found by an index's field is read in both directions.
    order = by.field if by else ",".join(map(str, query.orderings))
    digest = hashlib.blake2b(repr((filters, order)).encode(), digest_size=16).hexdigest()
    start: str | int = ""
    restarts = 0
    while restarts <= _RESTARTS:
        ordering, *paging = _paging(query)
        args = [*paging, since, start, digest, ordering, order, *filters, SCAN_ROWS]
        async with reader.scans.of(account):
            answer = await reader.ask(
                _SEARCH_PAGE,
                lambda keys: (*keys.listed, keys.kept, keys.found),
                args,
                min_position=min_position,
            )
        if answer[0] != b"more":
            return answer
        # A scan that others pushed out begins again, at a later position.
        restarts += start not in ("", answer[1])
        start = answer[1]
    raise BusyError("too many filters at once")


async def _find_unkept(reader: ReadModel, search: _Search) -> list[Any]:
    """Answer as ``_find_kept`` does, without a write: for a Redis whose disk is full."""
    query, since, min_position, account, filters = search
    order = ",".join(map(str, query.orderings))
    cursor, hits, positions = b"", set[bytes](), set[int]()
    while cursor != b"done":
        args = [cursor, since, "key", order, *filters, SCAN_ROWS]
        async with reader.scans.of(account):
            word, position, *found = await reader.ask(
                _SEARCH_PIECE, lambda keys: keys.listed, args, min_position=min_position
            )
        if word == b"same":
            return [word, position]
        cursor, *more = found
        hits.update(more)
        positions.add(position)
    size, keys = query.page_size, sorted(hits, reverse=True)
    last = max(1, -(-len(keys) // size))
    number_field = query.page or last
    rank = (number_field - 1) * size
    if query.after:
        place = sort_key(query.after, query.orderings)
        rank = sum(key >= place for key in keys)
        last = int(rank + size < len(keys))
    ids = [key[-36:] for key in keys[rank : rank + size]]
    _, position, *rows = await reader.ask(_GET_MOVIES, lambda keys: keys.listed, ids)
    if positions != {position}:
        raise ReadModelUnavailableError("it changed while it was read")
    return [b"page", position, len(keys), number_field, last, *rows]
