"""The routes that create, change, delete and bring back movies.

A request is refused for its body only after the movie was found to exist and to be the caller's.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import uuid_utils.compat
from sanic import Blueprint

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    KeyInFlightError,
    KeyReusedError,
    OutcomeUnknownError,
    PreconditionFailedError,
    RefusedError,
)
from commands.group_commit import CommandResult, preview
from commands.messages import (
    CheckMovie,
    CreateMovie,
    DeleteMovie,
    IdempotencyToken,
    MovieChanges,
    MovieFields,
    RevertMovie,
    RevertTarget,
    UpdateMovie,
    parse_reason,
)
from commands.movie import Movie
from service.container import Container, container_of
from service.openapi import errors, examples, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Body, Operation, links_to
from service.routes.consistency import position_headers, wait_until_visible
from service.routes.movies import PATH, parse_movie_id, representation
from service.routes.pagination import link
from service.web import representations
from service.web.body import JSON, MERGE_PATCH, PATCHES, read_body
from service.web.conditional import (
    check_write,
    excluded_versions,
    expected_versions,
    list_tag,
    movie_tag,
)
from service.web.idempotency import idempotency_token
from service.web.params import boolean_param, parse_all
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("movie_changes")
T = TypeVar("T")


_YEAR_REFUSED = InvalidError({"year": ["A valid integer is required."]})
_BODY_REFUSED = (_YEAR_REFUSED, *errors.unreadable(JSON))
_WRITE_TAKES = (
    parameters.MOVIE_ID,
    request_headers.IF_MATCH,
    request_headers.EXCLUDED,
    request_headers.CHANGE_REASON,
    request_headers.PREFER,
)
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
                "readMovieHistory",
            ),
        )
    },
    refuses=(
        *_BODY_REFUSED,
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
        lambda: _metadata(request),
        lambda: MovieFields.of(body),
        lambda: idempotency_token(request, body),
    )
    check_write(request, list_tag(container.read_position.current[1], container.log))
    command = CreateMovie(
        **metadata, movie_id=uuid_utils.compat.uuid7(), fields=fields, idempotency=token
    )
    result = await _run_once(container, command)
    response = await _respond(request, container, result, status=201)
    response.headers["Location"] = link(request, f"{PATH}{result.aggregate.id}/")
    return response


@blueprint.put("/movies/<movie_id>/", name="replace")
@Operation(
    id="replaceMovie",
    tag=tags.MOVIES,
    summary="Replace a movie",
    about="Every field but those that only the service sets. What changes nothing leaves the "
    "movie at its version.",
    takes=_WRITE_TAKES,
    body=Body(MovieFields, examples.ALIEN),
    answers={200: Answer("The movie.", representations.Movie, _WRITTEN, example=examples.MOVIE)},
    refuses=(*_BODY_REFUSED, *errors.WRITE_REFUSED),
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
    takes=_WRITE_TAKES,
    body=Body(MovieChanges, {"year": 1980}, also=MERGE_PATCH, required=False),
    answers={200: Answer("The movie.", representations.Movie, _WRITTEN, example=examples.MOVIE)},
    refuses=(_YEAR_REFUSED, *errors.unreadable(*PATCHES), *errors.WRITE_REFUSED),
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
    target = _target(request, movie_id)
    fields = await _parse_for(CheckMovie(**target), container, parse)
    command = UpdateMovie(**target, **_conditions(request), fields=fields)
    return await _respond(request, container, await container.executor.run(command))


@blueprint.delete("/movies/<movie_id>/", name="delete")
@Operation(
    id="deleteMovie",
    tag=tags.MOVIES,
    summary="Delete a movie",
    about="Its history stays, and a revert restores it.",
    takes=_WRITE_TAKES,
    answers={204: Answer("The movie is deleted.", None, response_headers.AFTER_WRITE)},
    refuses=(*errors.WRITE_REFUSED, InvalidError({"Change-Reason": ["Not a valid string."]})),
)
async def delete_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Delete the caller's movie."""
    container = container_of(request)
    command = DeleteMovie(**_target(request, movie_id), **_conditions(request))
    result = await container.executor.run(command)
    return empty(headers=await _wait(request, container, result.position, command.movie_id))


@blueprint.post("/movies/<movie_id>/revert/", name="revert")
@Operation(
    id="revertMovie",
    tag=tags.MOVIES,
    summary="Take a movie back to a version",
    about="Restores a deleted movie.",
    takes=(*_WRITE_TAKES, request_headers.IDEMPOTENCY_KEY, parameters.DRY_RUN),
    body=Body(RevertTarget, {"version": 1}),
    answers={
        200: Answer(
            "The movie, or what it would be.",
            representations.Movie,
            (
                response_headers.MOVIE_TAG.sometimes(),
                *response_headers.AFTER_WRITE,
                response_headers.REPLAYED,
            ),
            example=examples.MOVIE,
        )
    },
    refuses=(*_BODY_REFUSED, *errors.WRITE_REFUSED, KeyInFlightError(), KeyReusedError()),
)
async def revert_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Take the caller's movie back to a version; with ``dry_run`` only answer the outcome."""
    container = container_of(request)
    target = _target(request, movie_id)
    dry_run, (version, token) = await _parse_for(
        CheckMovie(**target, or_deleted=True), container, lambda: _parse_revert(request)
    )
    command = RevertMovie(**target, **_conditions(request), target=version, idempotency=token)
    if not dry_run:
        return await _respond(request, container, await _run_once(container, command))

    def read() -> tuple[int, Movie | Any]:
        return container.store.head(), preview(container.store, command)

    position, movie = await container.log_threads.run(read)
    return HTTPResponse(
        representation(movie, request.principal.username),
        headers=position_headers(position, container.log),
        content_type=JSON,
    )


def _parse_revert(
    request: CinelogRequest,
) -> tuple[bool, tuple[RevertTarget, IdempotencyToken | None]]:
    def parse_body() -> tuple[RevertTarget, IdempotencyToken | None]:
        body = read_body(request)
        return parse_all(lambda: RevertTarget.of(body), lambda: idempotency_token(request, body))

    return parse_all(lambda: boolean_param(request, "dry_run"), parse_body)


async def _parse_for(check: CheckMovie, container: Container, parse: Callable[[], T]) -> T:
    """Return what ``parse`` returns. Before it raises a refusal, ``check`` must pass."""
    try:
        return parse()
    except RefusedError:
        await container.executor.run(check)
        raise


async def _run_once(container: Container, command: CreateMovie | RevertMovie) -> CommandResult:
    """Carry out a command. Raises KeyInFlightError while its idempotency key is in use."""
    if command.idempotency is None:
        return await container.executor.run(command)
    with container.in_flight.hold(command.idempotency.claim):
        return await container.executor.run(command)


async def _respond(
    request: CinelogRequest, container: Container, result: CommandResult, *, status: int = 200
) -> HTTPResponse:
    movie = result.aggregate
    assert isinstance(movie, Movie)  # noqa: S101 - only movie commands come here
    # A movie that was just created is not parked.
    changed = movie.id if movie.version > 1 else None
    headers = await _wait(request, container, result.position, changed)
    headers["ETag"] = movie_tag(movie.version)
    if result.replayed:
        headers["Idempotent-Replayed"] = "true"
    return HTTPResponse(
        representation(movie, request.principal.username),
        status=status,
        headers=headers,
        content_type=JSON,
    )


async def _wait(
    request: CinelogRequest, container: Container, position: int, changed: UUID | None
) -> dict[str, str]:
    prefer = request.headers.get("prefer", "")
    return await wait_until_visible(container, position, changed, prefer=prefer)


def _metadata(request: CinelogRequest) -> dict[str, Any]:
    reason = parse_reason(request.header("Change-Reason") or "", "Change-Reason")
    return request.command_metadata(request.principal.account_id) | {"reason": reason}


def _target(request: CinelogRequest, movie_id: str) -> dict[str, Any]:
    return {"movie_id": parse_movie_id(movie_id)} | _metadata(request)


def _conditions(request: CinelogRequest) -> dict[str, Any]:
    return {"expected": expected_versions(request), "excluded": excluded_versions(request)}
