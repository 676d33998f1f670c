"""``GET /movies/`` as it was: ``?at=TIME`` and ``?at_position=N``."""

from contextlib import suppress

from commands.errors import NotFoundError, ReadModelUnavailableError
from projections.generation.state import name_at
from queries import movies
from queries.movie_query import MovieQuery
from service.container import Container, container_of
from service.routes.consistency import wait_s
from service.web.params import AsOf
from service.web.request import CinelogRequest


async def list_as_it_was(
    request: CinelogRequest, query: MovieQuery, known: int | None, moment: AsOf
) -> movies.Page | movies.NotModified | None:
    """Return a page as it was then, None where the request asks for now.

    Raises ReadModelUnavailableError while the list as it was is being built.
    """
    container, account = container_of(request), request.principal.account_id
    if not moment.past:
        return None
    position = await _position(container, moment)
    # Then may be now; nobody builds a list that is there.
    if container.read_position.current[1] <= position and await container.read_position.wait_for(
        position, wait_s(request)
    ):
        with suppress(NotFoundError, ReadModelUnavailableError):
            page = await movies.list_changed(container.read_model, query, known, account=account)
            if page.position == position:
                return page
            if moment.at and position < page.position <= await _position(container, moment):
                return page
    last = await container.log_threads.run(name_at, container.store, position)
    reader = await container.point_in_time.at(position, last, str(account))
    return await movies.list_changed(reader, query, known, account=account)


async def _position(container: Container, moment: AsOf) -> int:
    if moment.number is None:
        assert moment.at is not None  # noqa: S101 - one of them was given
        return await container.log_threads.run(container.timeline.position_at, moment.at)
    return moment.number
