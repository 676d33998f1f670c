"""``GET /movies/{id}/``: one movie, as it is or as it was."""

from uuid import UUID

import orjson
from sanic import Blueprint

from commands.errors import NotFoundError, ReadModelUnavailableError
from commands.movie import Movie
from commands.rfc3339 import rfc3339
from projections.movie_rows import row_of
from queries import movies
from queries.log import history
from service.container import container_of
from service.routes.consistency import (
    check_same_log,
    log_of,
    min_position_param,
    positioned,
    require_known_position,
    require_position,
)
from service.routes.pagination import API
from service.web.conditional import movie_tag
from service.web.error_collector import ErrorCollector
from service.web.params import AsOf, parse_as_of
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

blueprint = Blueprint("movies")
PATH = f"{API}/movies/"
_JSON = "application/json"


@blueprint.get("/movies/<movie_id>/", name="read")
async def read_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Answer one movie: from the read model, or from the log while that is away."""
    wanted = movie_id_of(movie_id)
    container = container_of(request)
    moment = _asked(request)
    await require_known_position(request)
    if moment.past:
        return await _read_past(request, wanted, moment)
    log = log_of(request)
    try:
        await require_position(request)
        row, position = await movies.get_movie(container.read_model, wanted)
    except ReadModelUnavailableError:
        asked = min_position_param(request)
        row, position = await _from_log(request, wanted)
        if position < asked:
            raise
    check_same_log(request, log)
    if row is None:
        raise NotFoundError
    tag = movie_tag(orjson.loads(row)["version"])
    headers = positioned(request, position, log) | {"ETag": tag}
    return HTTPResponse(row, headers=headers, content_type=_JSON)


def _asked(request: CinelogRequest) -> AsOf:
    refusals = ErrorCollector()
    moment = parse_as_of(request, "version", refusals)
    with refusals:
        min_position_param(request)
    refusals.check()
    return moment


async def _read_past(request: CinelogRequest, movie_id: UUID, moment: AsOf) -> HTTPResponse:
    """Answer a movie as it was at a version or at a time, from the log.

    ``Event-Position`` is where the log stood at that time, or stands now.
    """
    container = container_of(request)
    at, version = moment
    log = log_of(request)

    def read() -> tuple[bytes, int, int]:
        position = container.store.head()
        if version is not None:
            movie = history.movie_at_version(container.store, movie_id, version)
        else:
            assert at is not None  # noqa: S101 - one of them was given
            position = container.timeline.position_at(at)
            movie = history.movie_at_position(container.store, movie_id, position)
        return representation(movie, container.name_of(movie.creator)), movie.version, position

    row, shown, position = await container.log_threads.run(read)
    headers = positioned(request, position, log) | {"ETag": movie_tag(shown)}
    return HTTPResponse(row, headers=headers, content_type=_JSON)


def representation(movie: Movie, username: str) -> bytes:
    """Return the JSON of a movie as it stands in the log; rows of the read model say the same."""
    row = row_of(
        str(movie.id),
        movie.details._asdict(),
        username,
        version=movie.version,
        created_at=rfc3339(movie.created_on),
        updated_at=rfc3339(movie.modified_on),
    )
    return orjson.dumps(row)


async def _from_log(request: CinelogRequest, movie_id: UUID) -> tuple[bytes | None, int]:
    store = container_of(request).store

    def read() -> tuple[bytes | None, int]:
        position = store.head()
        movie = store.get(Movie, movie_id)
        if movie is None or movie.deleted:
            return None, position
        return representation(movie, store.username_of(movie.creator)), position

    return await container_of(request).log_threads.run(read)


def movie_id_of(text: str) -> UUID:
    """Return a movie id. Raises NotFoundError for what cannot be one."""
    try:
        found = UUID(text)
    except ValueError:
        raise NotFoundError from None
    if str(found) != text.lower():
        raise NotFoundError
    return found
