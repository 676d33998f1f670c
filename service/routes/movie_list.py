"""``GET /movies/``: pages of movies, as they are or as they were."""

import orjson
from sanic import Blueprint

from queries import movies
from queries.movie_query import NUMBERS, TEXTS, MovieQuery, parse_query
from queries.orderings import place_of
from service.container import parts_of
from service.routes.as_of import Moment, asked_moment
from service.routes.consistency import asked_of_log, asked_position, before_read
from service.routes.cursors import continued, cursor_of
from service.routes.links import link_with
from service.routes.movies import PATH
from service.routes.past_lists import list_as_it_was
from service.routes.positions import check_position, check_same_log, log_of, positioned
from service.web.conditional import known_position, list_tag
from service.web.error_collector import Refusals
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, empty

blueprint = Blueprint("movie_list")
_JSON = "application/json"
_KNOWN = {*TEXTS, *NUMBERS, "ordering", "page", "page_size", "cursor", "at", "at_position"}


@blueprint.get("/movies/", name="list")
async def list_movies(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of movies from the read model, as they are or as they were."""
    parts = parts_of(request)
    query, moment = _asked(request)
    await asked_of_log(request)
    await check_position(request, moment.number)
    log = log_of(request)
    known = known_position(request, log)
    page = await list_as_it_was(request, query, known, moment)
    if page is None:
        position = await before_read(request)
        page = await movies.list_changed(
            parts.reader,
            query,
            known,
            min_position=position,
            account=request.principal.account_id,
        )
    check_same_log(request, log)
    headers = positioned(request, page.position, log) | {"ETag": list_tag(page.position, log)}
    if isinstance(page, movies.Unchanged):
        return empty(status=304, headers=headers)
    following = previous = None
    if page.more and page.rows:
        cursor = cursor_of(place_of(page.rows[-1], query.orderings), query)
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


def _asked(request: CinelogRequest) -> tuple[MovieQuery, Moment]:
    refusals = Refusals()
    query = MovieQuery()
    with refusals:
        query = _query(request)
    moment = asked_moment(request, "at_position", refusals)
    with refusals:
        asked_position(request)  # also of the past, which waits for nothing
    refusals.check()
    return query, moment


def _query(request: CinelogRequest) -> MovieQuery:
    cursor = request.asked("cursor")
    if not cursor:
        return parse_query(request.args)
    query = parse_query({name: said for name, said in request.args.items() if name != "page"})
    return continued(query, cursor)
