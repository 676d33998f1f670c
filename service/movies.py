"""The routes of ``/movies/``."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import uuid_utils.compat
from sanic import Blueprint

from commands.errors import (
    EventStoreUnavailableError,
    InvalidError,
    NotFoundError,
    ReadModelUnavailableError,
    RefusedError,
)
from commands.group_commit import Receipt, preview
from commands.messages import (
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
from commands.transcoder import rfc3339
from queries import history, movies
from queries.filters import MovieQuery, parse_query
from service.bodies import read_body
from service.conditions import (
    expected_versions,
    known_position,
    list_tag,
    movie_tag,
    none_match,
)
from service.cursors import seal, unseal
from service.freshness import after_write, asked_position, before_read
from service.idempotency import once_only
from service.links import API, link, link_with
from service.parts import parts_of
from service.past_lists import list_as_it_was
from service.requests import CinelogRequest
from service.responses import HTTPResponse, empty
from service.tokens import Principal, principal_of

if TYPE_CHECKING:
    from service import shapes

blueprint = Blueprint("movies")
PATH = f"{API}/movies/"
_JSON = "application/json"
_TRUE = frozenset({"1", "true", "yes", "on"})
_MAX_DIGITS = 16
_SPACED_OFFSET = re.compile(r":[\d.]+ \d\d:?\d\d$")


@blueprint.get("/movies/", name="list")
async def list_movies(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of movies from the read model, as they are or as they were."""
    principal_of(request)
    parts = parts_of(request)
    query = _query(request)
    known = known_position(request)
    asked_position(request)  # nonsense is refused for the past as well, which waits for nothing
    page = await list_as_it_was(request, query, known, _time(request))
    if page is None:
        position = await before_read(request)
        page = await movies.list_changed(parts.reader, query, known, min_position=position)
    headers = {"Event-Position": str(page.position), "ETag": list_tag(page.position)}
    if isinstance(page, movies.Unchanged):
        return empty(status=304, headers=headers)
    following = previous = None
    if page.more and page.rows:
        cursor = seal(movies.place_of(page.rows[-1], query), query, parts.tokens.keys)
        further = link_with(request, PATH, cursor=cursor, page=None)
        headers["Link"] = f'<{further}>; rel="next"'
        following = further if query.after else link_with(request, PATH, page=str(page.page + 1))
    if page.page > 1:
        previous = link_with(request, PATH, page=str(page.page - 1))
    body = b'{"count":%d,"next":%b,"previous":%b,"results":[%b]}' % (
        page.count,
        orjson.dumps(following),
        orjson.dumps(previous),
        b",".join(page.rows),
    )
    return HTTPResponse(body, headers=headers, content_type=_JSON)


def _query(request: CinelogRequest) -> MovieQuery:
    cursor = request.args.get("cursor")
    if cursor is None:
        return parse_query(request.args)
    query = parse_query({name: said for name, said in request.args.items() if name != "page"})
    return unseal(cursor, query, parts_of(request).tokens.keys)


@blueprint.post("/movies/", name="create")
async def create_movie(request: CinelogRequest) -> HTTPResponse:
    """Create a movie that belongs to the caller."""
    principal = principal_of(request)
    body = read_body(request)
    command = CreateMovie(
        **_by(request, principal),
        movie_id=uuid_utils.compat.uuid7(),
        fields=MovieFields.of(body),
        once=once_only(request, principal, body),
    )
    receipt = await _run_once(request, command)
    response = await _answer(request, receipt, principal.username, status=201)
    response.headers["Location"] = link(request, f"{PATH}{receipt.about.id}/")
    return response


@blueprint.get("/movies/<movie_id>/", name="read")
async def read_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Answer one movie: from the read model, or from the log while that is away."""
    principal_of(request)
    wanted = movie_id_of(movie_id)
    parts = parts_of(request)
    if request.args.keys() & {"version", "at"}:
        return await _read_past(request, wanted)
    try:
        await before_read(request)
        row, position = await movies.get_movie(parts.reader, wanted)
    except ReadModelUnavailableError:
        asked = asked_position(request)
        row, position = await _from_log(request, wanted)
        if position < asked:
            raise
    if row is None:
        raise NotFoundError
    tag = movie_tag(orjson.loads(row)["version"])
    headers = {"Event-Position": str(position), "ETag": tag}
    if none_match(request, tag):
        return empty(status=304, headers=headers)
    return HTTPResponse(row, headers=headers, content_type=_JSON)


async def _read_past(request: CinelogRequest, movie_id: UUID) -> HTTPResponse:
    """Answer a movie as it was at a version or at a time, from the log."""
    parts = parts_of(request)
    version, at, asked = _version(request), _time(request), asked_position(request)

    def read() -> tuple[bytes, int, int]:
        position = parts.store.head()
        if position < asked:
            raise EventStoreUnavailableError("it has not reached that position yet")
        if version is not None:
            movie = history.movie_at_version(parts.store, movie_id, version)
        else:
            assert at is not None  # noqa: S101 - one of them was given
            movie = history.movie_at_time(parts.store, movie_id, at)
        return representation(movie, parts.name_of(movie.creator)), movie.version, position

    row, shown, position = await parts.reads.run(read)
    headers = {"Event-Position": str(position), "ETag": movie_tag(shown)}
    if none_match(request, headers["ETag"]):
        return empty(status=304, headers=headers)
    return HTTPResponse(row, headers=headers, content_type=_JSON)


@blueprint.post("/movies/<movie_id>/revert/", name="revert")
async def revert_movie(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Take a movie of one's own back to a version; with ``dry_run`` only say what would change."""
    principal = principal_of(request)
    wanted = movie_id_of(movie_id)
    target: RevertTarget | RefusedError
    once = None
    try:
        body = read_body(request)
        once = once_only(request, principal, body)
        target = RevertTarget.of(body)
    except RefusedError as error:  # raised by the handler, after its checks of movie and owner
        target = error
    command = RevertMovie(
        **_by(request, principal),
        movie_id=wanted,
        target=target,
        expected=expected_versions(request),
        once=once,
    )
    parts = parts_of(request)
    if request.args.get("dry_run", "").strip().lower() in _TRUE:
        headers = {"Event-Position": str(await parts.reads.run(parts.store.head))}
        movie = await parts.reads.run(preview, parts.store, command)
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
    principal = principal_of(request)
    command = DeleteMovie(
        **_by(request, principal),
        movie_id=movie_id_of(movie_id),
        expected=expected_versions(request),
    )
    receipt = await parts_of(request).executor.run(command)
    return empty(headers=await after_write(request, receipt.position))


async def _update(
    request: CinelogRequest,
    movie_id: str,
    body: type[MovieFields | MovieChanges],
) -> HTTPResponse:
    principal = principal_of(request)
    wanted = movie_id_of(movie_id)
    fields: MovieFields | MovieChanges | RefusedError
    try:
        fields = body.of(read_body(request))
    except RefusedError as error:  # raised by the handler, after its checks of movie and owner
        fields = error
    command = UpdateMovie(
        **_by(request, principal),
        movie_id=wanted,
        fields=fields,
        expected=expected_versions(request),
    )
    receipt = await parts_of(request).executor.run(command)
    return await _answer(request, receipt, principal.username, status=200)


async def _run_once(request: CinelogRequest, command: CreateMovie | RevertMovie) -> Receipt:
    """Carry out a command that may have a key; the same key at the same time is told to wait."""
    parts = parts_of(request)
    if command.once is None:
        return await parts.executor.run(command)
    with parts.in_flight.hold(command.once.claim):
        return await parts.executor.run(command)


async def _answer(
    request: CinelogRequest,
    receipt: Receipt,
    username: str,
    *,
    status: int,
) -> HTTPResponse:
    assert isinstance(receipt.about, Movie)  # noqa: S101 - only movie commands come here
    headers = await after_write(request, receipt.position)
    headers["ETag"] = movie_tag(receipt.about.version)
    if receipt.replayed:
        headers["Idempotent-Replayed"] = "true"
    return HTTPResponse(
        representation(receipt.about, username),
        status=status,
        headers=headers,
        content_type=_JSON,
    )


def representation(movie: Movie, username: str) -> bytes:
    """Return the JSON of a movie as it stands in the log; rows of the read model say the same."""
    shown: shapes.Movie = {
        "id": str(movie.id),
        "title": movie.facts.title,
        "genre": movie.facts.genre,
        "year": movie.facts.year,
        "creator": username,
        "version": movie.version,
        "created_at": rfc3339(movie.created_on),
        "updated_at": rfc3339(movie.modified_on),
    }
    return orjson.dumps(shown)


async def _from_log(request: CinelogRequest, movie_id: UUID) -> tuple[bytes | None, int]:
    store = parts_of(request).store

    def read() -> tuple[bytes | None, int]:
        position = store.head()
        movie = store.find(Movie, movie_id)
        if movie is None or movie.deleted:
            return None, position
        return representation(movie, store.name_of(movie.creator)), position

    return await parts_of(request).reads.run(read)


def _by(request: CinelogRequest, principal: Principal) -> dict[str, Any]:
    return {
        "by": principal.account_id,
        "request_id": request.request_id,
        "at": datetime.now(UTC),
        "reason": reason_of(request.headers.get("change-reason", ""), "Change-Reason"),
    }


def _version(request: CinelogRequest) -> int | None:
    if "version" not in request.args:
        return None
    given = request.args["version"][-1].strip()
    if not (given.isascii() and given.isdigit() and len(given) < _MAX_DIGITS):
        raise InvalidError({"version": ["Enter a number."]})
    return int(given)


def _time(request: CinelogRequest) -> datetime | None:
    """Return ``at``; without an offset it is UTC, and a ``+`` may have become a space."""
    if "at" not in request.args:
        return None
    given = request.args["at"][-1].strip()
    if _SPACED_OFFSET.search(given):
        given = "+".join(given.rsplit(" ", 1))
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidError({"at": ["Enter a valid date/time."]}) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def movie_id_of(text: str) -> UUID:
    """Return a movie id. Raises NotFoundError for what cannot be one."""
    try:
        found = UUID(text)
    except ValueError:
        raise NotFoundError from None
    if str(found) != text.lower():
        raise NotFoundError
    return found
