"""``GET /movies/``: pages of movies, as they are or as of a time or position."""

import orjson
from sanic import Blueprint

from commands.errors import (
    InvalidError,
    PreconditionFailedError,
    ReadModelUnavailableError,
)
from queries import movies
from queries.log.timeline import AtPosition, AtTime
from queries.mirror.page_cache import Page
from queries.movie_query import NUMBERS, TEXTS, MovieQuery, parse_query
from queries.orderings import seek_key
from service.container import container_of
from service.openapi import errors, examples, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Operation, links_to
from service.routes.consistency import PositionHeaders, check_same_log, position_headers
from service.routes.movies.movie import PATH
from service.routes.pagination import continue_from, cursor_of, link, link_with
from service.web.body import JSON
from service.web.conditional import list_tag, position_in_tag
from service.web.params import as_of_param, parse_all
from service.web.representations import movies as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("movie_list")
_KNOWN = {*TEXTS, *NUMBERS, "ordering", "page", "page_size", "cursor", "at", "at_position"}

AsOf = AtTime | AtPosition | None
_MOST_PARSED, _MOST_RENDERED = 1_000, 8
_parsed: dict[str, tuple[MovieQuery, AsOf]] = {}


@blueprint.get("/movies/", name="list")
@Operation(
    id="listMovies",
    tag=tags.MOVIES,
    summary="List movies",
    about="The current movies, or with `at` or `at_position` those at a point in time. Filters "
    "combine. The last value of a repeated parameter counts; unknown parameters are ignored.",
    takes=(
        *parameters.FILTERS,
        parameters.ORDERING,
        *parameters.PAGING,
        parameters.CURSOR,
        parameters.AT_TIME,
        parameters.AT_POSITION,
        request_headers.SHOWN_MATCH,
        request_headers.IF_NONE_MATCH,
        request_headers.MIN_POSITION,
        request_headers.EVENT_LOG,
    ),
    answers={
        200: Answer(
            "A page of movies.",
            representations.MoviePage,
            (response_headers.LIST_TAG, *response_headers.POSITIONED, response_headers.LINK),
            example=examples.page_of(examples.MOVIE),
            links=links_to("/results/0/id", "readMovie", "readMovieHistory"),
        ),
        304: Answer(
            "Nothing has changed.", None, (response_headers.LIST_TAG, *response_headers.POSITIONED)
        ),
    },
    refuses=(
        InvalidError({"year": ["Enter a number."]}),
        errors.INVALID_PAGE,
        PreconditionFailedError('W/"p42@0f8fad5b-d9cb-469f-a165-70867728950e.1"'),
        errors.UNKNOWN,
        ReadModelUnavailableError(),
    ),
)
async def list_movies(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of movies from the read model."""
    container = container_of(request)
    query, as_of, headers = _inputs(request)
    await headers.check(container, as_of.position if isinstance(as_of, AtPosition) else None)
    log = container.log
    page = await movies.list_movies(
        container.readers,
        query,
        as_of=as_of,
        min_position=headers.min_position,
        known=position_in_tag(request, log),
        wait_s=container.wait_s,
        account=request.principal.account_id,
    )
    check_same_log(container, log)
    if isinstance(page, movies.NotModified):
        return empty(status=304, headers=_position_headers(page.position, log))
    key = request.query_string, link(request, PATH), log
    if (answer := page.rendered.get(key)) is None:
        if len(page.rendered) >= _MOST_RENDERED:
            page.rendered.clear()
        answer = page.rendered[key] = _render(request, page, query, log)
    body, sent = answer
    return HTTPResponse(body, headers=sent, content_type=JSON)


def _inputs(request: CinelogRequest) -> tuple[MovieQuery, AsOf, PositionHeaders]:
    """Return the inputs of a request. Query strings recur, so the parsed ones are kept."""
    if (parsed := _parsed.get(request.query_string)) is not None:
        return *parsed, PositionHeaders.parse(request)
    query, as_of, headers = parse_all(
        lambda: _parse_query(request),
        lambda: as_of_param(request, "at_position", AtPosition),
        lambda: PositionHeaders.parse(request),
    )
    if len(_parsed) >= _MOST_PARSED:
        _parsed.clear()
    _parsed[request.query_string] = query, as_of
    return query, as_of, headers


def _render(
    request: CinelogRequest, page: Page, query: MovieQuery, log: str
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a page."""
    sent = _position_headers(page.position, log)
    following = previous = None
    if page.more and page.rows:
        cursor = cursor_of(seek_key(page.rows[-1], query.orderings), query)
        by_cursor = link_with(request, PATH, _KNOWN, cursor=cursor, page=None)
        sent["Link"] = f'<{by_cursor}>; rel="next"'
        following = (
            by_cursor if query.after else link_with(request, PATH, _KNOWN, page=str(page.page + 1))
        )
    if page.page > 1:
        previous = link_with(request, PATH, _KNOWN, page=str(page.page - 1))
    body = b'{"count":%d,"next":%b,"previous":%b,"results":[%b]}' % (
        page.count,
        orjson.dumps(following),
        orjson.dumps(previous),
        b",".join(page.rows),
    )
    return body, sent


def _position_headers(position: int, log: str) -> dict[str, str]:
    return position_headers(position, log) | {"ETag": list_tag(position, log)}


def _parse_query(request: CinelogRequest) -> MovieQuery:
    cursor = request.param("cursor")
    if not cursor:
        return parse_query(request.args)
    args = {name: values for name, values in request.args.items() if name != "page"}
    return continue_from(parse_query(args), cursor)
