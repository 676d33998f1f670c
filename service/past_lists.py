"""``GET /movies/`` as it was: ``?at=TIME`` and ``?at_position=N``."""

from contextlib import suppress
from datetime import UTC, datetime

from commands.errors import NotFoundError, ReadModelUnavailableError
from projections.heads import name_at
from queries import movies
from queries.filters import MovieQuery
from queries.past import position_at
from service.asked_past import Moment
from service.parts import Parts, parts_of
from service.requests import CinelogRequest


async def list_as_it_was(
    request: CinelogRequest, query: MovieQuery, known: int | None, moment: Moment
) -> movies.Page | movies.Unchanged | None:
    """Return a page as it was then, None where the request asks for now, which any later time is.

    Raises NotFoundError for a position the log has not reached, ReadModelUnavailableError while the
    list as it was is being built.
    """
    parts = parts_of(request)
    position = await _position(parts, moment)
    if position is None:
        return None
    if position == parts.feed.current[1]:  # then is now, unless something happens right now
        with suppress(NotFoundError, ReadModelUnavailableError):
            page = await movies.list_changed(parts.reader, query, known)
            if page.position == position:
                return page
    last = await parts.reads.run(name_at, parts.store, position)
    return await movies.list_changed(await parts.past.at(position, last), query, known)


async def _position(parts: Parts, moment: Moment) -> int | None:
    at, position = moment
    if position is not None:
        if position > await parts.reads.run(parts.store.head):
            raise NotFoundError("No such position.")
        return position
    if at is None or at >= datetime.now(UTC):
        return None
    return await parts.reads.run(position_at, parts.store, at)
