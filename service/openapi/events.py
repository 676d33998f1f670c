"""What there is to say of the routes that ask the log: histories, the feed and its stream."""

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    NotFoundError,
    ThrottledError,
)
from commands.movie import Movie
from queries.log import change_feed
from service.openapi import parameters, request_headers, response_headers
from service.openapi.errors import UNKNOWN
from service.openapi.model import Answer, Operation, Table
from service.routes import event_stream, history
from service.web import representations

TAG = "Events"
_AWAY = (EventStoreUnavailableError(), BusyError())
_ENTRY = {
    "id": 7,
    "version": 2,
    "position": 7,
    "type": Movie.Updated.TOPIC,
    "at": "2026-01-02T12:05:00.000250Z",
    "actor": {"id": "019a0b6c-1f60-7a54-8a52-6d0a1c7a4f11", "username": "ann"},
    "changes": {"year": {"from": 1978, "to": 1979}},
    "request_id": "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58",
    "reason": None,
}
_EVENT = {"movie_id": "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58", **_ENTRY}

TABLE: Table = {
    history.movie_history: Operation(
        id="readMovieHistory",
        tag=TAG,
        summary="Read what happened to a movie",
        about="Oldest first, and of a deleted movie, too. Straight from the log: it never lags.",
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
                example={"count": 2, "next": None, "previous": None, "results": [_ENTRY]},
            )
        },
        refuses=(
            InvalidError({"Min-Event-Position": ["A valid integer is required."]}),
            NotFoundError(),
            NotFoundError("Invalid page."),
            UNKNOWN,
            *_AWAY,
        ),
    ),
    history.events: Operation(
        id="listEvents",
        tag=TAG,
        summary="List the events of all movies",
        about="In log order. Whoever follows `next`, and later asks again from the last position, "
        "sees every event once.",
        takes=(
            parameters.AFTER,
            parameters.LIMIT,
            request_headers.MIN_POSITION,
            request_headers.EVENT_LOG,
        ),
        answers={
            200: Answer(
                "Events after a position.",
                representations.EventPage,
                response_headers.POSITIONED,
                example={"results": [_EVENT], "next": None},
            )
        },
        refuses=(InvalidError({"after": ["Enter a number."]}), UNKNOWN, *_AWAY),
    ),
    event_stream.stream: Operation(
        id="streamEvents",
        tag=TAG,
        summary="Follow the events of all movies",
        about="Server-sent events: `id` is the position, `event` the type, `data` the event as "
        "`listEvents` has it. Without `after` and `Last-Event-ID` only what comes. It ends when "
        "the access token expires: come back with `Last-Event-ID`. It ends too when another epoch "
        "of the log begins, with an event `log` whose data is `log`, `head` and `shared`. An "
        "account has a bounded number of streams (`CINELOG_STREAMS_PER_ACCOUNT`).",
        takes=(parameters.AFTER, request_headers.LAST_EVENT_ID, request_headers.EVENT_LOG),
        answers={
            200: Answer(
                "Events, as they happen.",
                str,
                (
                    response_headers.CACHE_CONTROL,
                    response_headers.BEGINNING,
                    response_headers.EVENT_LOG,
                ),
                media="text/event-stream",
                example="id: 7\nevent: MovieUpdated\ndata: {}\n\n",
            )
        },
        refuses=(
            InvalidError({"Last-Event-ID": ["Enter a number."]}),
            UNKNOWN,
            ThrottledError(event_stream.STREAMS, change_feed.BUSY_S),
            *_AWAY,
        ),
        slash=False,
    ),
}
