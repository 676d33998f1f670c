"""``GET /events/stream``: changes as they happen, as server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import contextlib
import time
from functools import partial
from typing import Any

import orjson
from sanic import Blueprint

from commands.errors import (
    InvalidError,
    ThrottledError,
    TokenNotValidError,
    UnavailableError,
)
from commands.event_store.log.log_identity import parse_log
from queries.log import change_feed
from queries.log.change_feed import BUSY_S
from service.container import Container, container_of
from service.openapi import errors, parameters, request_headers, response_headers, tags
from service.openapi.model import Answer, Operation
from service.routes.consistency import PositionHeaders, claimed_log, position_headers
from service.routes.events.filters import event_filter
from service.web.params import integer_param, parse_all, parse_integer
from service.web.request import CinelogRequest

STREAMS = "streams"
# Grace after a token expired, for clients that do not read.
LATE_S = 2.0
blueprint = Blueprint("stream")


@blueprint.get("/events/stream", name="stream")
@Operation(
    id="streamEvents",
    tag=tags.EVENTS,
    summary="Follow the events of all movies",
    about="Server-sent events: `id` is the position, `event` the type, `data` the event as "
    "`listEvents` has it. Without `after` and `Last-Event-ID` only what comes. It ends when "
    "the token expires, or a personal token is revoked: come back with `Last-Event-ID`. It ends "
    "too when another epoch of the log begins, with an event `log` whose data is `log`, `head` "
    "and `shared`. An account has a bounded number of streams (`CINELOG_STREAMS_PER_ACCOUNT`). "
    "With filters, an event `position` (its data is `position`) tells at times, and before the "
    "stream ends, how far it is: `id` moves on although the filters left out every event.",
    takes=(
        parameters.AFTER,
        *parameters.EVENT_FILTERS,
        request_headers.LAST_EVENT_ID,
        request_headers.EVENT_LOG,
    ),
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
        errors.FILTERS,
        errors.UNKNOWN,
        ThrottledError(STREAMS, change_feed.BUSY_S),
        *errors.LOG_UNAVAILABLE,
    ),
    slash=False,
)
async def stream(request: CinelogRequest) -> None:
    """Send wanted events after ``Last-Event-ID`` or ``after``, without these from now on.

    When another epoch of the log begins, the stream ends with an event ``log``. A closed account
    gets no further event.
    """
    container, principal = container_of(request), request.principal
    after, claimed, wanted = parse_all(
        lambda: _parse_after(request),
        lambda: claimed_log(request),
        lambda: event_filter(request),
    )
    await PositionHeaders(0, claimed).check(container, after)
    log = container.log
    if after is not None and wanted.has_times:
        skip = partial(container.timeline.skip, after, wanted.since, wanted.before)
        after = await container.read_log(skip, after)
    account, most = str(principal.account_id), container.settings.streams_per_account
    until = principal.expires_at
    with container.slots.held(STREAMS, account, most, retry_after_s=BUSY_S):
        async with contextlib.aclosing(
            container.change_feed.events(after, until, account, wanted)
        ) as events:
            greeting = await anext(events)  # raises before anything is sent
            http: Any = request.stream
            http.keep_alive = False  # else what a client does not read outlives the stream
            response = await request.respond(
                content_type="text/event-stream; charset=utf-8",
                headers=position_headers(greeting.position, log) | {"X-Accel-Buffering": "no"},
            )
            if request.method == "HEAD":
                await response.send(b"")
                http.head_response_ignored(b"", end_stream=True)  # Sanic's own way there fails
                return
            try:
                async with asyncio.timeout(until - time.time() + LATE_S):
                    await response.send(greeting.text)
                    async for sent in events:
                        if not await _is_still_valid(request):
                            break
                        await response.send(sent.text)
                    if container.log != log:
                        await response.send(_another_log(container, log))
                    await response.eof()
            except TimeoutError:  # the client does not read
                transport: Any = request.transport
                transport.abort()


async def _is_still_valid(request: CinelogRequest) -> bool:
    """Return False once the account was closed or its personal token revoked."""
    container = container_of(request)
    if container.store.accounts.has_closed(request.principal.account_id):
        return False
    if request.personal_token is None:
        return True
    try:
        await container.personal_tokens.check(request.personal_token)
    except (TokenNotValidError, UnavailableError):
        return False
    return True


def _another_log(container: Container, before: str) -> bytes:
    """Return the event that names the new epoch, with the members of ``position_unknown``."""
    continuity = container.store.continuity
    claimed, identity = parse_log(before), continuity.identity
    shared = None
    if claimed and identity:
        shared = identity.shared_with(claimed, continuity.highest)
    data = {"log": container.log, "head": continuity.highest, "shared": shared}
    return b"event: log\ndata: %b\n\n" % orjson.dumps(data)


def _parse_after(request: CinelogRequest) -> int | None:
    """Return the position to begin after; ``Last-Event-ID`` comes before ``after``."""
    after, last_id = parse_all(lambda: integer_param(request, "after"), lambda: _last_id(request))
    return after if last_id is None else last_id


def _last_id(request: CinelogRequest) -> int | None:
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        return None
    position = parse_integer(text)
    if position is None:
        raise InvalidError({"Last-Event-ID": ["Enter a number."]})
    return position
