"""``GET /movies/``: pages of movies, as they are or as they were."""

import orjson
from sanic import Blueprint

from queries import movies
from queries.movie_query import NUMBERS, TEXTS, MovieQuery, parse_query
from queries.orderings import seek_key
from service.container import container_of
from service.routes.consistency import (
    check_position,
    check_same_log,
    log_of,
    min_position_param,
    positioned,
    require_known_position,
    require_position,
)
from service.routes.movies import PATH
from service.routes.pagination import continue_from, cursor_of, link_with
from service.routes.past_lists import list_as_it_was
from service.web.conditional import list_tag, position_in_tag
from service.web.error_collector import ErrorCollector
from service.web.params import AsOf, parse_as_of
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("movie_list")
_JSON = "application/json"
_KNOWN = {*TEXTS, *NUMBERS, "ordering", "page", "page_size", "cursor", "at", "at_position"}


@blueprint.get("/movies/", name="list")
async def list_movies(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of movies from the read model, as they are or as they were."""
    container = container_of(request)
    query, moment = _asked(request)
    await require_known_position(request)
    await check_position(request, moment.number)
    log = log_of(request)
    known = position_in_tag(request, log)
    page = await list_as_it_was(request, query, known, moment)
    if page is None:
        position = await require_position(request)
        page = await movies.list_changed(
            container.read_model,
            query,
            known,
            min_position=position,
            account=request.principal.account_id,
        )
    check_same_log(request, log)
    headers = positioned(request, page.position, log) | {"ETag": list_tag(page.position, log)}
    if isinstance(page, movies.NotModified):
        return empty(status=304, headers=headers)
    following = previous = None
    if page.more and page.rows:
        cursor = cursor_of(seek_key(page.rows[-1], query.orderings), query)
        further = link_with(request, PATH, _KNOWN, cursor=cursor, page=None)
        headers["Link"] = f'<{further}>; rel="next"'
        following = (
            further if query.after else link_with(request, PATH, _KNOWN, page=str(page.page + 1))
        )
    if page.page > 1:
        previous = link_with(request, PATH, _KNOWN, page=str(page.page - 1))
    body = b'{"count":%d,"next":%b,"previous":%b,"results":[%b]}' % (
        page.count,
        orjson.dumps(following),
        orjson.dumps(previous),
        b",".join(page.rows),
    )
    return HTTPResponse(body, headers=headers, content_type=_JSON)


def _asked(request: CinelogRequest) -> tuple[MovieQuery, AsOf]:
    refusals = ErrorCollector()
    query = MovieQuery()
    with refusals:
        query = _query(request)
    moment = parse_as_of(request, "at_position", refusals)
    with refusals:
        min_position_param(request)  # also of the past, which waits for nothing
    refusals.check()
    return query, moment


def _query(request: CinelogRequest) -> MovieQuery:
    cursor = request.asked("cursor")
    if not cursor:
        return parse_query(request.args)
    query = parse_query({name: said for name, said in request.args.items() if name != "page"})
    return continue_from(query, cursor)
