"""The routes that read the log: a movie's history, and the feed of all changes."""

from typing import Any

from sanic import Blueprint

from commands.errors import InvalidError, NotFoundError
from queries.log import history
from queries.log.event_filter import EVENT_FILTERS
from queries.log.movie_events import DEFAULT_LIMIT, MAX_LIMIT, MOST_READ, Changes
from queries.pages import NumberedPage, parse_page
from service.container import container_of
from service.openapi import errors, examples, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Operation
from service.routes.consistency import PositionHeaders, position_headers
from service.routes.events.filters import event_filter
from service.routes.movies.movie import PATH, parse_movie_id
from service.routes.pagination import link_with, page_body
from service.web.params import integer_param, parse_all
from service.web.representations import movies as representations
from service.web.request import API, CinelogRequest
from service.web.response import HTTPResponse, json_response

blueprint = Blueprint("history")


@blueprint.get("/movies/<movie_id>/history/", name="movie")
@Operation(
    id="readMovieHistory",
    tag=tags.EVENTS,
    summary="Read the history of a movie",
    about="Oldest first; also for deleted movies. Read from the log, so it never lags.",
    takes=(
        parameters.MOVIE_ID,
        *parameters.PAGING,
        request_headers.MIN_POSITION,
        request_headers.EVENT_LOG,
    ),
    answers={
        200: Answer(
            "A page of its history.",
            representations.HistoryPage,
            response_headers.POSITIONED,
            example={"count": 2, "next": None, "previous": None, "results": [examples.ENTRY]},
        )
    },
    refuses=(
        InvalidError({"Min-Event-Position": ["A valid integer is required."]}),
        NotFoundError(),
        errors.INVALID_PAGE,
        errors.UNKNOWN,
        *errors.LOG_UNAVAILABLE,
    ),
)
async def movie_history(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Answer the events of a movie, oldest first, also of a deleted one."""
    container = container_of(request)
    wanted = parse_movie_id(movie_id)
    headers = PositionHeaders.parse(request)
    await headers.check(container)
    log = container.log
    number, size = parse_page(request.args)

    def read() -> tuple[int, NumberedPage[history.Entry], list[dict[str, Any]]]:
        position = container.reader.head()
        page = history.history(container.reader, wanted, number, size)
        return position, page, [entry.to_dict(container.username_of) for entry in page.items]

    position, page, results = await container.read_log(read, headers.min_position)
    path = f"{PATH}{wanted}/history/"
    body = page_body(request, path, page, results)
    return json_response(body, headers=position_headers(position, log))


@blueprint.get("/events/", name="events")
@Operation(
    id="listEvents",
    tag=tags.EVENTS,
    summary="List the events of all movies",
    about="In log order. A client that follows `next`, and later asks again after the last "
    "`Event-Position`, sees every event once. Filters combine; of a repeated parameter the last "
    f"value counts. A request reads at most {MOST_READ:,} events of the log, so a page may have "
    "fewer than `limit` results, or none, with a `next` that continues where it ended. At the "
    "end of the log `next` is null.",
    takes=(
        parameters.AFTER,
        parameters.LIMIT,
        *parameters.EVENT_FILTERS,
        request_headers.MIN_POSITION,
        request_headers.EVENT_LOG,
    ),
    answers={
        200: Answer(
            "Events after a position.",
            representations.EventPage,
            response_headers.POSITIONED,
            example={"results": [examples.EVENT], "next": None},
        )
    },
    refuses=(
        InvalidError({"after": ["Enter a number."]}),
        errors.FILTERS,
        errors.UNKNOWN,
        *errors.LOG_UNAVAILABLE,
    ),
)
async def events(request: CinelogRequest) -> HTTPResponse:
    """Answer the events of all movies after a position that pass the filters, in log order.

    ``Event-Position`` is the position up to which they are complete.
    """
    container = container_of(request)
    (after, limit), wanted, headers = parse_all(
        lambda: parse_all(
            lambda: integer_param(request, "after"), lambda: integer_param(request, "limit")
        ),
        lambda: event_filter(request),
        lambda: PositionHeaders.parse(request),
    )
    await headers.check(container, after)
    limit = DEFAULT_LIMIT if limit is None else max(1, min(MAX_LIMIT, limit))
    log = container.log

    def read() -> tuple[Changes, list[dict[str, Any]]]:
        changes = container.movie_events.after(after or 0, limit, wanted)
        return changes, [
            {"movie_id": entry.movie_id, **entry.to_dict(container.username_of)}
            for entry in changes.entries
        ]

    changes, results = await container.read_log(read, max(headers.min_position, after or 0))
    following = None
    if changes.more:
        place = {"after": str(changes.reached), "limit": str(limit)}
        following = link_with(request, f"{API}/events/", EVENT_FILTERS, **place)
    body = {"results": results, "next": following}
    return json_response(body, headers=position_headers(changes.reached, log))
