"""The routes that take a movie back: to an earlier version, or one change of the past."""

from typing import Any

from sanic import Blueprint

from commands.aggregates.movie import Movie
from commands.errors import KeyReusedError, UndoConflictError
from commands.execution.group_commit import preview
from commands.messages import CheckMovie, IdempotencyToken, RevertMovie, RevertTarget, UndoChange
from service.container import container_of
from service.errors import KeyInFlightError
from service.openapi import errors, examples, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Body, Operation
from service.routes.consistency import position_headers
from service.routes.movies.movie import representation
from service.routes.movies.writes import (
    BODY_REFUSED,
    WRITE_TAKES,
    conditions_of,
    parse_for,
    respond_to_write,
    run_once,
    target_of,
)
from service.web.body import JSON, read_body
from service.web.idempotency import idempotency_token
from service.web.params import boolean_param, parse_all
from service.web.representations import movies as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

blueprint = Blueprint("movie_reverts")
_TAKES = (*WRITE_TAKES, request_headers.IDEMPOTENCY_KEY, parameters.DRY_RUN)
_ANSWERS = {
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
}
_REFUSES = (*BODY_REFUSED, *errors.WRITE_REFUSED, KeyInFlightError(), KeyReusedError())


@blueprint.post("/movies/<movie_id>/revert/", name="revert")
@Operation(
    id="revertMovie",
    tag=tags.MOVIES,
    summary="Take a movie back to a version",
    about="Restores a deleted movie.",
    takes=_TAKES,
    body=Body(RevertTarget, {"version": 1}),
    answers=_ANSWERS,
    refuses=_REFUSES,
)
async def revert_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Take the caller's movie back to a version; with ``dry_run`` only answer the outcome."""
    return await _take_back(request, movie_id, RevertMovie)


@blueprint.post("/movies/<movie_id>/undo/", name="undo")
@Operation(
    id="undoChange",
    tag=tags.MOVIES,
    summary="Undo one change of a movie",
    about="The fields that this version changed go back to what they were before it; other fields "
    "stay. Undoing a deletion restores the movie; undoing a restoration takes back its fields and "
    "keeps the movie. A field that is back already needs nothing. If a later version changed one "
    "of the fields to something else, nothing is undone.",
    takes=_TAKES,
    body=Body(RevertTarget, {"version": 2}),
    answers=_ANSWERS,
    refuses=(*_REFUSES, UndoConflictError({"title": (4, "Aliens")})),
)
async def undo_change(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Undo one version of the caller's movie; with ``dry_run`` only answer the outcome."""
    return await _take_back(request, movie_id, UndoChange)


async def _take_back(
    request: CinelogRequest, movie_id: str, kind: type[RevertMovie]
) -> HTTPResponse:
    container = container_of(request)
    target = target_of(request, movie_id)
    dry_run, (version, token) = await parse_for(
        CheckMovie(**target, or_deleted=True), container, lambda: _parse(request)
    )
    command = kind(**target, **conditions_of(request), target=version, idempotency=token)
    if not dry_run:
        return await respond_to_write(request, container, await run_once(container, command))

    def read() -> tuple[int, Movie | Any]:
        return container.store.head(), preview(container.store, command)

    position, movie = await container.log_threads.run(read)
    return HTTPResponse(
        representation(movie, request.principal.username),
        headers=position_headers(position, container.log),
        content_type=JSON,
    )


def _parse(request: CinelogRequest) -> tuple[bool, tuple[RevertTarget, IdempotencyToken | None]]:
    def parse_body() -> tuple[RevertTarget, IdempotencyToken | None]:
        body = read_body(request)
        return parse_all(lambda: RevertTarget.of(body), lambda: idempotency_token(request, body))

    return parse_all(lambda: boolean_param(request, "dry_run"), parse_body)
