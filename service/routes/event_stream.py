"""``GET /events/stream``: every change as it happens, as server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import contextlib
import time
from typing import Any

import orjson
from sanic import Blueprint

from commands.errors import InvalidError
from commands.event_store.log_identity import parse_log
from queries.log.change_feed import BUSY_S
from service.container import container_of
from service.routes.consistency import check_position, log_of, log_param, positioned
from service.web.error_collector import ErrorCollector
from service.web.params import integer_param, parse_integer
from service.web.request import CinelogRequest

STREAMS = "streams"
# How long a client that does not read may be connected after its token expired.
LATE_S = 2.0
blueprint = Blueprint("stream")


@blueprint.get("/events/stream", name="stream")
async def stream(request: CinelogRequest) -> None:
    """Send every change as it happens; ``Last-Event-ID`` or ``after`` says where to begin.

    Where another epoch of the log begins, an event ``log`` says so and the stream ends.
    """
    principal = request.principal
    container = container_of(request)
    after = _begin(request)
    await check_position(request, after)
    log = log_of(request)
    account, most = str(principal.account_id), container.settings.streams_per_account
    until = principal.expires_at
    with container.slots.held(STREAMS, account, most, retry_after_s=BUSY_S):
        async with contextlib.aclosing(
            container.change_feed.events(after, until, account)
        ) as events:
            greeting = await anext(events)  # what cannot begin is refused before anything is sent
            response = await request.respond(
                content_type="text/event-stream; charset=utf-8",
                headers={
                    **positioned(request, greeting.position, log),
                    "X-Accel-Buffering": "no",
                },
            )
            if request.method == "HEAD":
                await response.send(b"")
                http: Any = request.stream
                http.head_response_ignored(b"", end_stream=True)  # Sanic's own way there fails
                return
            try:
                async with asyncio.timeout(until - time.time() + LATE_S):
                    await response.send(greeting.text)
                    async for sent in events:
                        await response.send(sent.text)
                    if (now := log_of(request)) != log:
                        await response.send(another_log(request, log, now))
                    await response.eof()
            except TimeoutError:  # it does not read what was sent
                transport: Any = request.transport
                transport.abort()


def another_log(request: CinelogRequest, before: str, now: str) -> bytes:
    """Return the event that tells of another epoch: what a refused position is told, too."""
    continuity = container_of(request).store.continuity
    claimed, identity = parse_log(before), continuity.identity
    shared = None
    if claimed and identity:
        shared = identity.shared_with(claimed, continuity.highest)
    told = {"log": now, "head": continuity.highest, "shared": shared}
    return b"event: log\ndata: %b\n\n" % orjson.dumps(told)


def _begin(request: CinelogRequest) -> int | None:
    refusals = ErrorCollector()
    begin: int | None = None
    with refusals:
        log_param(request)
    with refusals:
        begin = integer_param(request, "after")
    if given := request.headers.get("last-event-id", "").strip():
        begin = parse_integer(given)
        if begin is None:
            refusals.add(InvalidError({"Last-Event-ID": ["Enter a number."]}))
    refusals.check()
    return begin
