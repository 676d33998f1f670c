"""The routes that ask the log: a movie's history, the feed of all changes, and its stream."""

from typing import Any

import orjson
from sanic import Blueprint

from queries.log import history
from queries.movie_query import parse_page
from service.container import container_of
from service.routes.consistency import (
    check_position,
    log_of,
    min_position_param,
    positioned,
    require_known_position,
)
from service.routes.movies import movie_id_of
from service.routes.pagination import API, link, page_links
from service.web.error_collector import ErrorCollector
from service.web.params import integer_param
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

blueprint = Blueprint("history")
_JSON = "application/json"
MAX_LIMIT, DEFAULT_LIMIT = 1_000, 100


@blueprint.get("/movies/<movie_id>/history/", name="movie")
async def movie_history(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Answer what happened to a movie, oldest first, deleted ones included."""
    container = container_of(request)
    wanted = movie_id_of(movie_id)
    await require_known_position(request)
    log = log_of(request)
    number, size = parse_page(request.args)

    def read() -> tuple[int, history.HistoryPage, list[dict[str, Any]]]:
        position = container.store.head()
        page = history.history(container.store, wanted, number, size)
        return position, page, [entry.shown(container.name_of) for entry in page.entries]

    position, page, results = await container.log_threads.run(read)
    path = f"{API}/movies/{wanted}/history/"
    following, previous = page_links(request, path, page.page, page.last_page)
    body = {"count": page.count, "next": following, "previous": previous, "results": results}
    headers = positioned(request, position, log)
    return HTTPResponse(orjson.dumps(body), headers=headers, content_type=_JSON)


@blueprint.get("/events/", name="events")
async def events(request: CinelogRequest) -> HTTPResponse:
    """Answer the changes of all movies after a position, in log order.

    ``Event-Position`` is the place they reach, never one that the log has not.
    """
    container = container_of(request)
    given, limit = _asked(request)
    await require_known_position(request)
    await check_position(request, given)
    after, log = given or 0, log_of(request)

    def read() -> tuple[history.Changes, list[dict[str, Any]]]:
        changes = history.changes_after(container.store, after, limit)
        shown = [
            {"movie_id": entry.movie_id, **entry.shown(container.name_of)}
            for entry in changes.entries
        ]
        return changes, shown

    changes, results = await container.log_threads.run(read)
    query = {"after": str(changes.reached), "limit": str(limit)}
    following = link(request, f"{API}/events/", query) if changes.more else None
    return HTTPResponse(
        orjson.dumps({"results": results, "next": following}),
        headers=positioned(request, changes.reached, log),
        content_type=_JSON,
    )


def _asked(request: CinelogRequest) -> tuple[int | None, int]:
    """Return ``after`` and ``limit``; ``Min-Event-Position`` is a number, too."""
    refusals = ErrorCollector()
    after = limit = None
    with refusals:
        after = integer_param(request, "after")
    with refusals:
        limit = integer_param(request, "limit")
    with refusals:
        min_position_param(request)
    refusals.check()
    most = DEFAULT_LIMIT if limit is None else max(1, min(MAX_LIMIT, limit))
    return after, most
