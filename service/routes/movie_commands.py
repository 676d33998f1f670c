"""The routes that create, change, delete and bring back movies.

Whether the movie is there and is the caller's counts before what is wrong with the body: where
reading the body ends in a refusal, ``CheckMovie`` runs first.
"""

from datetime import UTC, datetime
from typing import Any

import uuid_utils.compat
from sanic import Blueprint

from commands.group_commit import CommandResult, preview
from commands.messages import (
    CheckMovie,
    CreateMovie,
    DeleteMovie,
    MovieChanges,
    MovieFields,
    RevertMovie,
    RevertTarget,
    UpdateMovie,
    reason_of,
)
from commands.movie import Movie
from service.auth.tokens import Principal
from service.container import container_of
from service.routes.consistency import log_of, positioned, wait_until_visible
from service.routes.idempotency import idempotency_token
from service.routes.movies import PATH, movie_id_of, representation
from service.routes.pagination import link
from service.web.body import MERGE_PATCH, read_body
from service.web.conditional import (
    check_write,
    excluded_versions,
    expected_versions,
    list_tag,
    movie_tag,
)
from service.web.error_collector import ErrorCollector
from service.web.params import boolean_param
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("movie_changes")
_JSON = "application/json"


@blueprint.post("/movies/", name="create")
async def create_movie(request: CinelogRequest) -> HTTPResponse:
    """Create a movie that belongs to the caller."""
    principal = request.principal
    body = read_body(request)
    command = CreateMovie(
        **_by(request, principal),
        movie_id=uuid_utils.compat.uuid7(),
        fields=MovieFields.of(body),
        idempotency=idempotency_token(request, principal, body),
    )
    check_write(request, list_tag(container_of(request).read_position.current[1], log_of(request)))
    receipt = await _run_once(request, command)
    response = await _answer(request, receipt, principal.username, status=201)
    response.headers["Location"] = link(request, f"{PATH}{receipt.aggregate.id}/")
    return response


@blueprint.post("/movies/<movie_id>/revert/", name="revert")
async def revert_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Take a movie of one's own back to a version; with ``dry_run`` only say what would change."""
    principal = request.principal
    wanted = movie_id_of(movie_id)
    refusals = ErrorCollector()
    target: RevertTarget | None = None
    idempotency, dry_run = None, False
    with refusals:
        dry_run = boolean_param(request, "dry_run")
    with refusals:
        body = read_body(request)
        with refusals:
            idempotency = idempotency_token(request, principal, body)
        target = RevertTarget.of(body)
    by, conditions = _by(request, principal), _conditions(request)
    container = container_of(request)
    if target is None or refusals.found:
        check = CheckMovie(**by, movie_id=wanted, or_deleted=True)
        if dry_run:
            await container.log_threads.run(preview, container.store, check)
        else:
            await container.executor.run(check)
        refusals.check()
    assert target is not None  # noqa: S101 - else its refusal was raised
    command = RevertMovie(
        **by, movie_id=wanted, target=target, **conditions, idempotency=idempotency
    )
    if dry_run:
        headers = positioned(request, await container.log_threads.run(container.store.head))
        movie = await container.log_threads.run(preview, container.store, command)
        assert isinstance(movie, Movie)  # noqa: S101 - what the command is about
        row = representation(movie, principal.username)
        return HTTPResponse(row, headers=headers, content_type=_JSON)
    receipt = await _run_once(request, command)
    return await _answer(request, receipt, principal.username, status=200)


@blueprint.put("/movies/<movie_id>/", name="replace")
async def replace_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Replace every field of a movie of one's own."""
    return await _update(request, movie_id, MovieFields)


@blueprint.patch("/movies/<movie_id>/", name="change")
async def change_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Change some fields of a movie of one's own."""
    return await _update(request, movie_id, MovieChanges)


@blueprint.delete("/movies/<movie_id>/", name="delete")
async def delete_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Delete a movie of one's own."""
    principal = request.principal
    command = DeleteMovie(
        **_by(request, principal),
        movie_id=movie_id_of(movie_id),
        **_conditions(request),
    )
    receipt = await container_of(request).executor.run(command)
    return empty(headers=await wait_until_visible(request, receipt.position, command.movie_id))


async def _update(
    request: CinelogRequest,
    movie_id: str,
    body: type[MovieFields | MovieChanges],
) -> HTTPResponse:
    principal = request.principal
    wanted = movie_id_of(movie_id)
    refusals = ErrorCollector()
    fields: MovieFields | MovieChanges | None = None
    with refusals:
        also = MERGE_PATCH if body is MovieChanges else None
        fields = body.of(read_body(request, also=also))
    by, conditions = _by(request, principal), _conditions(request)
    executor = container_of(request).executor
    if fields is None:
        await executor.run(CheckMovie(**by, movie_id=wanted))
        refusals.check()
    assert fields is not None  # noqa: S101 - else its refusal was raised
    command = UpdateMovie(**by, movie_id=wanted, fields=fields, **conditions)
    receipt = await executor.run(command)
    return await _answer(request, receipt, principal.username, status=200)


async def _run_once(request: CinelogRequest, command: CreateMovie | RevertMovie) -> CommandResult:
    """Carry out a command that may have a key; the same key at the same time is told to wait."""
    container = container_of(request)
    if command.idempotency is None:
        return await container.executor.run(command)
    with container.in_flight.hold(command.idempotency.claim):
        return await container.executor.run(command)


async def _answer(
    request: CinelogRequest,
    receipt: CommandResult,
    username: str,
    *,
    status: int,
) -> HTTPResponse:
    assert isinstance(receipt.aggregate, Movie)  # noqa: S101 - only movie commands come here
    # A movie that was just created is not put aside.
    changed = receipt.aggregate.id if receipt.aggregate.version > 1 else None
    headers = await wait_until_visible(request, receipt.position, changed)
    headers["ETag"] = movie_tag(receipt.aggregate.version)
    if receipt.replayed:
        headers["Idempotent-Replayed"] = "true"
    return HTTPResponse(
        representation(receipt.aggregate, username),
        status=status,
        headers=headers,
        content_type=_JSON,
    )


def _conditions(request: CinelogRequest) -> dict[str, Any]:
    return {"expected": expected_versions(request), "excluded": excluded_versions(request)}


def _by(request: CinelogRequest, principal: Principal) -> dict[str, Any]:
    return {
        "by": principal.account_id,
        "request_id": request.request_id,
        "at": datetime.now(UTC),
        "reason": reason_of(request.header("Change-Reason") or "", "Change-Reason"),
    }
