"""The routes that read the log: a movie's history, and the feed of all changes."""

from typing import Any

import orjson
from sanic import Blueprint

from queries.log import history
from queries.movie_query import parse_page
from service.container import container_of
from service.routes.consistency import PositionHeaders, position_headers
from service.routes.movies import PATH, parse_movie_id
from service.routes.pagination import API, link, page_links
from service.web.body import JSON
from service.web.params import integer_param, parse_all
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

blueprint = Blueprint("history")
MAX_LIMIT, DEFAULT_LIMIT = 1_000, 100


@blueprint.get("/movies/<movie_id>/history/", name="movie")
async def movie_history(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Answer the events of a movie, oldest first, also of a deleted one."""
    container = container_of(request)
    wanted = parse_movie_id(movie_id)
    await PositionHeaders.parse(request).check(container)
    log = container.log
    number, size = parse_page(request.args)

    def read() -> tuple[int, history.HistoryPage[history.Entry], list[dict[str, Any]]]:
        position = container.store.head()
        page = history.history(container.store, wanted, number, size)
        return position, page, [entry.to_dict(container.username_of) for entry in page.entries]

    position, page, results = await container.log_threads.run(read)
    following, previous = page_links(request, f"{PATH}{wanted}/history/", page.page, page.last_page)
    body = {"count": page.count, "next": following, "previous": previous, "results": results}
    return HTTPResponse(
        orjson.dumps(body), headers=position_headers(position, log), content_type=JSON
    )


@blueprint.get("/events/", name="events")
async def events(request: CinelogRequest) -> HTTPResponse:
    """Answer the changes of all movies after a position, in log order.

    ``Event-Position`` is the position up to which they are complete.
    """
    container = container_of(request)
    after, limit, headers = parse_all(
        lambda: integer_param(request, "after"),
        lambda: integer_param(request, "limit"),
        lambda: PositionHeaders.parse(request),
    )
    await headers.check(container, after)
    limit = DEFAULT_LIMIT if limit is None else max(1, min(MAX_LIMIT, limit))
    log = container.log

    def read() -> tuple[history.Changes, list[dict[str, Any]]]:
        changes = history.changes_after(container.store, after or 0, limit)
        return changes, [
            {"movie_id": entry.movie_id, **entry.to_dict(container.username_of)}
            for entry in changes.entries
        ]

    changes, results = await container.log_threads.run(read)
    query = {"after": str(changes.reached), "limit": str(limit)}
    following = link(request, f"{API}/events/", query) if changes.more else None
    return HTTPResponse(
        orjson.dumps({"results": results, "next": following}),
        headers=position_headers(changes.reached, log),
        content_type=JSON,
    )
