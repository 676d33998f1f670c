"""``GET /events/summary``: how many events of movies there were on each day."""

from sanic import Blueprint

from commands.errors import InvalidError, PreconditionFailedError, ReadModelUnavailableError
from service.container import container_of
from service.openapi import errors, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Operation
from service.routes.consistency import PositionHeaders, check_same_log, position_headers
from service.web.body import JSON
from service.web.conditional import summary_tag
from service.web.params import parse_all
from service.web.representations import movies as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

BY_DAY = "day"
_SHOWN = (response_headers.SUMMARY_TAG, *response_headers.POSITIONED)
_WRONG = InvalidError({"by": ["Select a valid choice: day."]})
blueprint = Blueprint("event_summary")


@blueprint.get("/events/summary", name="summary")
@Operation(
    id="summarizeEvents",
    tag=tags.EVENTS,
    summary="Count the events of all movies by day",
    about="Oldest day first. Days are in UTC, by the time of the event; days without events are "
    "left out. Read from the read model: `Event-Position` is the position that it had reached. "
    "Events of a movie that could not be applied are not counted until they are.",
    takes=(
        parameters.BY,
        request_headers.SHOWN_MATCH,
        request_headers.IF_NONE_MATCH,
        request_headers.MIN_POSITION,
        request_headers.EVENT_LOG,
    ),
    answers={
        200: Answer(
            "The days with events.",
            representations.EventSummary,
            _SHOWN,
            example={
                "results": [
                    {"day": "2026-01-02", "created": 12, "updated": 5, "deleted": 1, "restored": 0}
                ]
            },
        ),
        304: Answer("Nothing has changed.", None, _SHOWN),
    },
    refuses=(
        _WRONG,
        PreconditionFailedError('W/"s8f14e45fceea167a5a36dedd"'),
        errors.UNKNOWN,
        ReadModelUnavailableError(),
    ),
    slash=False,
)
async def summary(request: CinelogRequest) -> HTTPResponse:
    """Answer the number of events of each type on each day."""
    container = container_of(request)
    _, headers = parse_all(lambda: _check_by(request), lambda: PositionHeaders.parse(request))
    await headers.check(container)
    log, least = container.log, headers.min_position
    await container.read_position.wait_for(least, container.wait_s)
    found = await container.event_summary.by_day(least)
    check_same_log(container, log)
    sent = position_headers(found.position, log) | {"ETag": summary_tag(found.digest)}
    return HTTPResponse(found.json, headers=sent, content_type=JSON)


def _check_by(request: CinelogRequest) -> None:
    if request.param("by") not in ("", BY_DAY):
        raise _WRONG
