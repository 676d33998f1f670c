"""``GET /movies/`` as it was: ``?at=TIME`` and ``?at_position=N``."""

from contextlib import suppress
from datetime import UTC, datetime

from commands.errors import InvalidError, NotFoundError, ReadModelUnavailableError
from projections.heads import name_at
from queries import movies
from queries.filters import MovieQuery
from queries.past import position_at
from service.parts import parts_of
from service.requests import CinelogRequest
from service.whole_numbers import asked_number


async def list_as_it_was(
    request: CinelogRequest, query: MovieQuery, known: int | None, at: datetime | None
) -> movies.Page | movies.Unchanged | None:
    """Return a page as it was then, None where the request asks for now, which any later time is.

    Raises InvalidError for a position that is no number, NotFoundError for one the log has not
    reached, ReadModelUnavailableError while the list as it was is being built.
    """
    position = await _asked(request, at)
    if position is None:
        return None
    parts = parts_of(request)
    if position == parts.feed.current[1]:  # then is now, unless something happens right now
        with suppress(NotFoundError, ReadModelUnavailableError):
            page = await movies.list_changed(parts.reader, query, known)
            if page.position == position:
                return page
    last = await parts.reads.run(name_at, parts.store, position)
    return await movies.list_changed(await parts.past.at(position, last), query, known)


async def _asked(request: CinelogRequest, at: datetime | None) -> int | None:
    parts = parts_of(request)
    if "at_position" not in request.args:
        if at is None or at >= datetime.now(UTC):
            return None
        return await parts.reads.run(position_at, parts.store, at)
    if at is not None:
        raise InvalidError({"at": ["Give either at or at_position."]})
    position = asked_number(request, "at_position")
    if position is not None and position > await parts.reads.run(parts.store.head):
        raise NotFoundError("No such position.")
    return position
