"""Questions about movies, answered from the read model."""

from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from commands.errors import NotFoundError, ReadModelUnavailableError
from projections.generation.state import CONSTANTS
from projections.lua import load_script
from queries.log.timeline import AtPosition, AtTime
from queries.mirror.page_cache import Page
from queries.movie_query import MovieQuery
from queries.point_in_time import PointInTimeLists
from queries.position.read_position import ReadPosition
from queries.read_model import ReadModel

_GET_MOVIES = load_script("queries.lua.get_movies", CONSTANTS, shareable=True)


@dataclass(frozen=True)
class NotModified:
    """The list is the same as at the position that the client knows."""

    position: int


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

    Searches of several accounts take turns. Raises NotFoundError for a page out of range,
    ReadModelUnavailableError, BusyError, and ThrottledError where the account has too many searches
    in line.
    """
    page = await reader.page(query, known=known, min_position=min_position, account=account)
    return NotModified(page) if isinstance(page, int) else page


async def get_movie(
    reader: ReadModel, movie_id: UUID, *, min_position: int = 0
) -> tuple[bytes | None, int]:
    """Return a movie's JSON, None where there is none, and the position that shows it."""
    _, position, *rows = await reader.ask(
        _GET_MOVIES,
        lambda keys: (keys.state, keys.rows),
        [str(movie_id)],
        min_position=min_position,
    )
    return rows[0] if rows else None, position
