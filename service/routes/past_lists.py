"""``GET /movies/`` as it was: ``?at=TIME`` and ``?at_position=N``."""

from contextlib import suppress

from commands.errors import NotFoundError, ReadModelUnavailableError
from projections.generation.state import name_at
from queries import movies
from queries.movie_query import MovieQuery
from service.container import Container, container_of
from service.routes.as_of import AsOf
from service.routes.consistency import wait_s
from service.web.request import CinelogRequest


async def list_as_it_was(
    request: CinelogRequest, query: MovieQuery, known: int | None, moment: AsOf
) -> movies.Page | movies.NotModified | None:
    """Return a page as it was then, None where the request asks for now.

    Raises ReadModelUnavailableError while the list as it was is being built.
    """
    parts, account = container_of(request), request.principal.account_id
    if not moment.past:
        return None
    position = await _position(parts, moment)
    # Then may be now; nobody builds a list that is there.
    if parts.feed.current[1] <= position and await parts.feed.wait_for(position, wait_s(request)):
        with suppress(NotFoundError, ReadModelUnavailableError):
            page = await movies.list_changed(parts.reader, query, known, account=account)
            if page.position == position:
                return page
            if moment.at and position < page.position <= await _position(parts, moment):
                return page
    last = await parts.reads.run(name_at, parts.store, position)
    reader = await parts.past.at(position, last, str(account))
    return await movies.list_changed(reader, query, known, account=account)


async def _position(parts: Container, moment: AsOf) -> int:
    if moment.number is None:
        assert moment.at is not None  # noqa: S101 - one of them was given
        return await parts.reads.run(parts.timeline.position_at, moment.at)
    return moment.number
