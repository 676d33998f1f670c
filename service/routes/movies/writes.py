"""What the routes that write movies have in common.

A request is refused for its body only after the movie was found to exist and to be the caller's.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from commands.errors import InvalidError, RefusedError
from commands.execution.group_commit import CommandResult
from commands.messages import CheckMovie, CreateMovie, RevertMovie, parse_reason
from service.container import Container
from service.openapi import errors, parameters, request_headers
from service.routes.consistency import wait_until_visible
from service.routes.movies.movie import parse_movie_id, representation
from service.web.body import JSON
from service.web.conditional import excluded_versions, expected_versions, movie_tag
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

T = TypeVar("T")
YEAR_REFUSED = InvalidError({"year": ["A valid integer is required."]})
BODY_REFUSED = (YEAR_REFUSED, *errors.unreadable(JSON))
WRITE_TAKES = (
    parameters.MOVIE_ID,
    request_headers.IF_MATCH,
    request_headers.EXCLUDED,
    request_headers.CHANGE_REASON,
    request_headers.PREFER,
)


async def parse_for(check: CheckMovie, container: Container, parse: Callable[[], T]) -> T:
    """Return what ``parse`` returns. Before it raises a refusal, ``check`` must pass."""
    try:
        return parse()
    except RefusedError:
        await container.executor.run(check)
        raise


async def run_once(container: Container, command: CreateMovie | RevertMovie) -> CommandResult:
    """Carry out a command. Raises KeyInFlightError while its idempotency key is in use."""
    if command.idempotency is None:
        return await container.executor.run(command)
    with container.in_flight.hold(command.idempotency.claim):
        return await container.executor.run(command)


async def respond_to_write(
    request: CinelogRequest, container: Container, result: CommandResult, *, status: int = 200
) -> HTTPResponse:
    """Answer with the movie that a command changed, once the read model shows it."""
    movie = result.movie
    # A movie that was just created is not parked.
    changed = movie.id if movie.version > 1 else None
    headers = await wait_for_write(request, container, result.position, changed)
    headers["ETag"] = movie_tag(movie.version)
    if result.replayed:
        headers["Idempotent-Replayed"] = "true"
    return HTTPResponse(
        representation(movie, request.principal.username),
        status=status,
        headers=headers,
        content_type=JSON,
    )


async def wait_for_write(
    request: CinelogRequest, container: Container, position: int, changed: UUID | None
) -> dict[str, str]:
    """Wait as ``wait_until_visible`` does, and as the request prefers; return the headers."""
    prefer = request.headers.get("prefer", "")
    return await wait_until_visible(container, position, changed, prefer=prefer)


def write_metadata(request: CinelogRequest) -> dict[str, Any]:
    """Return what every command of a request has. Raises InvalidError for its reason."""
    reason = parse_reason(request.header("Change-Reason") or "", "Change-Reason")
    return request.command_metadata(request.principal.account_id) | {"reason": reason}


def target_of(request: CinelogRequest, movie_id: str) -> dict[str, Any]:
    """Return the movie of a path, and what every command has."""
    return {"movie_id": parse_movie_id(movie_id)} | write_metadata(request)


def conditions_of(request: CinelogRequest) -> dict[str, Any]:
    """Return the preconditions of a request on the movie's version."""
    return {"expected": expected_versions(request), "excluded": excluded_versions(request)}
