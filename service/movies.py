"""The routes of ``/movies/``."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import uuid_utils.compat
from queries.filters import parse_query
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from commands.errors import NotFoundError, ReadModelUnavailableError, RefusedError
from commands.executor import Receipt
from commands.messages import CreateMovie, DeleteMovie, MovieChanges, MovieFields, UpdateMovie
from commands.movie import Movie
from commands.transcoder import rfc3339
from queries import movies
from service.bodies import read_body
from service.freshness import after_write, asked_position, before_read
from service.links import API, link
from service.parts import parts_of
from service.tokens import Principal, principal_of

blueprint = Blueprint("movies")
PATH = f"{API}/movies/"
_JSON = "application/json"


@blueprint.get("/movies/", name="list")
async def list_movies(request: Request) -> HTTPResponse:  # type: ignore[type-arg]
    """Answer a page of movies from the read model."""
    principal_of(request)
    query = parse_query(request.args)
    position = await before_read(request)
    page = await movies.list_movies(parts_of(request).reader, query, min_position=position)
    body = b'{"count":%d,"next":%b,"previous":%b,"results":[%b]}' % (
        page.count,
        _page_link(request, page.page + 1 if page.page < page.last_page else None),
        _page_link(request, page.page - 1 if page.page > 1 else None),
        b",".join(page.rows),
    )
    return HTTPResponse(body, headers={"Event-Position": str(page.position)}, content_type=_JSON)


@blueprint.post("/movies/", name="create")
async def create_movie(request: Request) -> HTTPResponse:  # type: ignore[type-arg]
    """Create a movie that belongs to the caller."""
    principal = principal_of(request)
    command = CreateMovie(
        **_by(request, principal),
        movie_id=uuid_utils.compat.uuid7(),
        fields=MovieFields.of(read_body(request)),
    )
    receipt = await parts_of(request).executor.run(command)
    response = await _answer(request, receipt, principal.username, status=201)
    response.headers["Location"] = link(request, f"{PATH}{receipt.about.id}/")
    return response


@blueprint.get("/movies/<movie_id>/", name="read")
async def read_movie(request: Request, movie_id: str) -> HTTPResponse:  # type: ignore[type-arg]
    """Answer one movie: from the read model, or from the log while that is away."""
    principal_of(request)
    wanted = _id(movie_id)
    parts = parts_of(request)
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
    headers = {"Event-Position": str(position), "ETag": f'"{orjson.loads(row)["version"]}"'}
    return HTTPResponse(row, headers=headers, content_type=_JSON)


@blueprint.put("/movies/<movie_id>/", name="replace")
async def replace_movie(request: Request, movie_id: str) -> HTTPResponse:  # type: ignore[type-arg]
    """Replace every field of a movie of one's own."""
    return await _update(request, movie_id, MovieFields)


@blueprint.patch("/movies/<movie_id>/", name="change")
async def change_movie(request: Request, movie_id: str) -> HTTPResponse:  # type: ignore[type-arg]
    """Change some fields of a movie of one's own."""
    return await _update(request, movie_id, MovieChanges)


@blueprint.delete("/movies/<movie_id>/", name="delete")
async def delete_movie(request: Request, movie_id: str) -> HTTPResponse:  # type: ignore[type-arg]
    """Delete a movie of one's own."""
    principal = principal_of(request)
    command = DeleteMovie(
        **_by(request, principal), movie_id=_id(movie_id), expected=_expected(request)
    )
    receipt = await parts_of(request).executor.run(command)
    return empty(headers=await after_write(request, receipt.position))


async def _update(
    request: Request,  # type: ignore[type-arg]
    movie_id: str,
    body: type[MovieFields | MovieChanges],
) -> HTTPResponse:
    principal = principal_of(request)
    wanted = _id(movie_id)
    fields: MovieFields | MovieChanges | RefusedError
    try:
        fields = body.of(read_body(request))
    except RefusedError as error:  # raised by the handler, after its checks of movie and owner
        fields = error
    command = UpdateMovie(
        **_by(request, principal), movie_id=wanted, fields=fields, expected=_expected(request)
    )
    receipt = await parts_of(request).executor.run(command)
    return await _answer(request, receipt, principal.username, status=200)


async def _answer(
    request: Request,  # type: ignore[type-arg]
    receipt: Receipt,
    username: str,
    *,
    status: int,
) -> HTTPResponse:
    assert isinstance(receipt.about, Movie)  # noqa: S101 - only movie commands come here
    headers = await after_write(request, receipt.position)
    headers["ETag"] = f'"{receipt.about.version}"'
    return HTTPResponse(
        representation(receipt.about, username),
        status=status,
        headers=headers,
        content_type=_JSON,
    )


def representation(movie: Movie, username: str) -> bytes:
    """Return the JSON of a movie as it stands in the log; rows of the read model say the same."""
    return orjson.dumps(
        {
            "id": str(movie.id),
            **movie.facts._asdict(),
            "creator": username,
            "version": movie.version,
            "created_at": rfc3339(movie.created_on),
            "updated_at": rfc3339(movie.modified_on),
        }
    )


async def _from_log(request: Request, movie_id: UUID) -> tuple[bytes | None, int]:  # type: ignore[type-arg]
    store = parts_of(request).store

    def read() -> tuple[bytes | None, int]:
        position = store.head()
        movie = store.find(Movie, movie_id)
        if movie is None or movie.deleted:
            return None, position
        return representation(movie, store.user(UUID(movie.creator)).username), position

    return await request.app.loop.run_in_executor(None, read)


def _by(request: Request, principal: Principal) -> dict[str, Any]:  # type: ignore[type-arg]
    return {
        "by": principal.account_id,
        "request_id": request.request_id,
        "at": datetime.now(UTC),
    }


def _id(text: str) -> UUID:
    """Return a movie id. Raises NotFoundError for what cannot be one."""
    try:
        found = UUID(text)
    except ValueError:
        raise NotFoundError from None
    if str(found) != text.lower():
        raise NotFoundError
    return found


def _expected(request: Request) -> tuple[int, ...] | None:  # type: ignore[type-arg]
    """Return the versions of ``If-Match`` (RFC 9110 §13.1.1: strong comparison), None for any."""
    given = request.headers.getall("if-match", [])
    tags = [tag.strip() for tag in ",".join(given).split(",") if tag.strip()]
    if not tags or tags == ["*"]:
        return None
    quoted = (tag[1:-1] for tag in tags if tag[:1] == tag[-1:] == '"')
    return tuple(int(tag) for tag in quoted if tag.isascii() and tag.isdigit())


def _page_link(request: Request, page: int | None) -> bytes:  # type: ignore[type-arg]
    if page is None:
        return b"null"
    query = {name: values[-1] for name, values in request.args.items()} | {"page": str(page)}
    return orjson.dumps(link(request, PATH, query))
