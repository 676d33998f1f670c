"""``GET /movies/{id}/``: one movie, as it is or as of a version or time."""

from functools import partial
from uuid import UUID

import orjson
from sanic import Blueprint

from commands.aggregates.movie import Movie
from commands.errors import (
    InvalidError,
    NotFoundError,
    ReadModelUnavailableError,
    VersionConflictError,
)
from commands.rfc3339 import rfc3339
from projections.row import row_of
from queries.log import history
from queries.log.timeline import AtTime, AtVersion
from queries.movies import get_movie
from service.container import Container, container_of
from service.openapi import errors, examples, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Operation
from service.routes.consistency import PositionHeaders, check_same_log, position_headers
from service.web.body import JSON
from service.web.conditional import movie_tag
from service.web.params import as_of_param, parse_all
from service.web.representations import movies as representations
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse

blueprint = Blueprint("movies")
PATH = f"{API}/movies/"


_SHOWN = (response_headers.MOVIE_TAG, *response_headers.POSITIONED)
_UNCHANGED = Answer("Nothing has changed.", headers=_SHOWN)


@blueprint.get("/movies/<movie_id>/", name="read")
@Operation(
    id="readMovie",
    tag=tags.MOVIES,
    summary="Read a movie",
    about="The current state, or with `version` or `at` an earlier one; 404 if it did not exist "
    "then.",
    takes=(
        parameters.MOVIE_ID,
        parameters.AT_VERSION,
        parameters.AT_TIME,
        request_headers.SHOWN_MATCH,
        request_headers.IF_NONE_MATCH,
        request_headers.MIN_POSITION,
        request_headers.EVENT_LOG,
    ),
    answers={
        200: Answer("The movie.", representations.Movie, _SHOWN, example=examples.MOVIE),
        304: _UNCHANGED,
    },
    refuses=(
        InvalidError({"at": ["Enter a valid date/time."]}),
        NotFoundError(),
        VersionConflictError("2", 3),
        errors.UNKNOWN,
        ReadModelUnavailableError(),
    ),
)
async def read_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Answer one movie: from the read model, or from the log while that is unavailable.

    As of a version or time it comes from the log.
    """
    wanted = parse_movie_id(movie_id)
    container = container_of(request)
    as_of, headers = parse_all(
        lambda: as_of_param(request, "version", AtVersion), lambda: PositionHeaders.parse(request)
    )
    await headers.check(container)
    log, least = container.log, headers.min_position
    if as_of:
        row, position = await container.read_log(
            partial(_read_log, container, wanted, as_of), least
        )
    else:
        try:
            await container.read_position.wait_for(least, container.wait_s)
            row, position = await get_movie(container.readers.live, wanted, min_position=least)
        except ReadModelUnavailableError:
            row, position = await container.read_log(
                partial(_read_log, container, wanted, None), least
            )
            if position < least:
                raise
        check_same_log(container, log)
    if row is None:
        raise NotFoundError
    tag = movie_tag(orjson.loads(row)["version"])
    return HTTPResponse(
        row, headers=position_headers(position, log) | {"ETag": tag}, content_type=JSON
    )


def _read_log(
    container: Container, movie_id: UUID, as_of: AtTime | AtVersion | None
) -> tuple[bytes | None, int]:
    """Return a movie's JSON and the position of the log then; at a version, the position now."""
    log = container.reader
    position = log.head()
    movie: Movie | None
    match as_of:
        case None:
            movie = log.get(Movie, movie_id)
        case AtVersion(version):
            movie = history.movie_at_version(log, movie_id, version)
        case AtTime(time):
            position = container.timeline.position_at(time)
            movie = history.movie_at_position(log, movie_id, position)
    if movie is None or movie.deleted:
        return None, position
    return representation(movie, container.username_of(movie.creator)), position


def representation(movie: Movie, username: str) -> bytes:
    """Return the JSON of a movie; rows of the read model have the same."""
    row = row_of(
        str(movie.id),
        movie.details._asdict(),
        username,
        version=movie.version,
        created_at=rfc3339(movie.created_on),
        updated_at=rfc3339(movie.modified_on),
    )
    return orjson.dumps(row)


def parse_movie_id(text: str) -> UUID:
    """Return a movie id in its canonical form. Raises NotFoundError for any other text."""
    try:
        movie_id = UUID(text)
    except ValueError:
        raise NotFoundError from None
    if str(movie_id) != text.lower():
        raise NotFoundError
    return movie_id
