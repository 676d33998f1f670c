"""The routes that create, change and delete movies."""

from collections.abc import Callable

import uuid_utils.compat
from sanic import Blueprint

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    KeyReusedError,
    OutcomeUnknownError,
    PreconditionFailedError,
)
from commands.messages import (
    CheckMovie,
    CreateMovie,
    DeleteMovie,
    MovieChanges,
    MovieFields,
    UpdateMovie,
)
from service.container import container_of
from service.errors import KeyInFlightError
from service.openapi import errors, examples, request_headers, response_headers, tags
from service.openapi.model import Answer, Body, Operation, links_to
from service.routes.movies.movie import PATH
from service.routes.movies.writes import (
    BODY_REFUSED,
    WRITE_TAKES,
    YEAR_REFUSED,
    conditions_of,
    parse_for,
    respond_to_write,
    run_once,
    target_of,
    wait_for_write,
    write_metadata,
)
from service.routes.pagination import link
from service.web.body import MERGE_PATCH, PATCHES, read_body
from service.web.conditional import check_write, list_tag
from service.web.idempotency import idempotency_token
from service.web.params import parse_all
from service.web.representations import movies as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("movie_changes")
_WRITTEN = (response_headers.MOVIE_TAG, *response_headers.AFTER_WRITE)


@blueprint.post("/movies/", name="create")
@Operation(
    id="createMovie",
    tag=tags.MOVIES,
    summary="Create a movie",
    about="The movie belongs to the caller. Unknown fields are ignored.",
    takes=(
        request_headers.IDEMPOTENCY_KEY,
        request_headers.SHOWN_MATCH,
        request_headers.EXCLUDED,
        request_headers.CHANGE_REASON,
        request_headers.PREFER,
    ),
    body=Body(MovieFields, examples.ALIEN),
    answers={
        201: Answer(
            "The new movie.",
            representations.Movie,
            (response_headers.LOCATION, *_WRITTEN, response_headers.REPLAYED),
            example=examples.MOVIE,
            links=links_to(
                "/id",
                "readMovie",
                "replaceMovie",
                "changeMovie",
                "deleteMovie",
                "revertMovie",
                "undoChange",
                "readMovieHistory",
            ),
        )
    },
    refuses=(
        *BODY_REFUSED,
        PreconditionFailedError('W/"p42"'),
        KeyInFlightError(),
        KeyReusedError(),
        EventStoreUnavailableError(),
        OutcomeUnknownError(),
        BusyError(),
    ),
)
async def create_movie(request: CinelogRequest) -> HTTPResponse:
    """Create a movie that belongs to the caller."""
    container = container_of(request)
    body = read_body(request)
    metadata, fields, token = parse_all(
        lambda: write_metadata(request),
        lambda: MovieFields.of(body),
        lambda: idempotency_token(request, body),
    )
    check_write(request, list_tag(container.read_position.current[1], container.log))
    command = CreateMovie(
        **metadata, movie_id=uuid_utils.compat.uuid7(), fields=fields, idempotency=token
    )
    result = await run_once(container, command)
    response = await respond_to_write(request, container, result, status=201)
    response.headers["Location"] = link(request, f"{PATH}{result.aggregate.id}/")
    return response


@blueprint.put("/movies/<movie_id>/", name="replace")
@Operation(
    id="replaceMovie",
    tag=tags.MOVIES,
    summary="Replace a movie",
    about="Every field but those that only the service sets. What changes nothing leaves the "
    "movie at its version.",
    takes=WRITE_TAKES,
    body=Body(MovieFields, examples.ALIEN),
    answers={200: Answer("The movie.", representations.Movie, _WRITTEN, example=examples.MOVIE)},
    refuses=(*BODY_REFUSED, *errors.WRITE_REFUSED),
)
async def replace_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Replace every field of the caller's movie."""
    return await _update(request, movie_id, lambda: MovieFields.of(read_body(request)))


@blueprint.patch("/movies/<movie_id>/", name="change")
@Operation(
    id="changeMovie",
    tag=tags.MOVIES,
    summary="Change a movie",
    about="Changes only the given fields.",
    takes=WRITE_TAKES,
    body=Body(MovieChanges, {"year": 1980}, also=MERGE_PATCH, required=False),
    answers={200: Answer("The movie.", representations.Movie, _WRITTEN, example=examples.MOVIE)},
    refuses=(YEAR_REFUSED, *errors.unreadable(*PATCHES), *errors.WRITE_REFUSED),
)
async def change_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Change some fields of the caller's movie."""
    return await _update(
        request, movie_id, lambda: MovieChanges.of(read_body(request, also=MERGE_PATCH))
    )


async def _update(
    request: CinelogRequest, movie_id: str, parse: Callable[[], MovieFields | MovieChanges]
) -> HTTPResponse:
    container = container_of(request)
    target = target_of(request, movie_id)
    fields = await parse_for(CheckMovie(**target), container, parse)
    command = UpdateMovie(**target, **conditions_of(request), fields=fields)
    return await respond_to_write(request, container, await container.executor.run(command))


@blueprint.delete("/movies/<movie_id>/", name="delete")
@Operation(
    id="deleteMovie",
    tag=tags.MOVIES,
    summary="Delete a movie",
    about="Its history stays, and a revert restores it.",
    takes=WRITE_TAKES,
    answers={204: Answer("The movie is deleted.", None, response_headers.AFTER_WRITE)},
    refuses=(*errors.WRITE_REFUSED, InvalidError({"Change-Reason": ["Not a valid string."]})),
)
async def delete_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Delete the caller's movie."""
    container = container_of(request)
    command = DeleteMovie(**target_of(request, movie_id), **conditions_of(request))
    result = await container.executor.run(command)
    return empty(
        headers=await wait_for_write(request, container, result.position, command.movie_id)
    )
