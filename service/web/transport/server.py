"""Bounds on connections, so that clients cannot exhaust the service.

1. A worker has at most ``CINELOG_MAX_CONNECTIONS`` open; further ones get 503 and are closed.
2. A few more are reserved for probes: each is closed after one answer, or at once where its first
   bytes do not begin a probe's request.
3. Streams take at most three quarters of a worker's connections, and writes that wait for a commit
   at most three quarters of the rest.
4. A request must arrive within ``RECEIVE_S``, and a new connection must begin one as soon. Sanic
   bounds only the pause between two bytes: a slow sender could hold a connection for ever.
"""

import resource
import time
from collections.abc import Collection
from typing import Any

import structlog
from sanic import Sanic
from sanic.exceptions import RequestTimeout
from sanic.headers import format_http1_response
from sanic.http.constants import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

from service.web.response import SECURITY
from service.web.transport.strict_parser import StrictHttp

RECEIVE_S = 60
LINGER_S = 0.5
RESERVED, PROBE_S = 16, 1.0
_PROBES = tuple(
    b"%b /%b" % (method, path)
    for method in (b"GET", b"HEAD")
    for path in (b"livez", b"readyz", b"metrics")
)
# Open files of a worker beside its connections, generously.
_OTHER_FILES = 128
_BODY = b'{"type":"about:blank","title":"Service Unavailable","status":503,\
"detail":"Too many connections are open.","code":"unavailable"}'
_FULL = (
    format_http1_response(
        503,
        [
            (name.lower().encode(), value.encode())
            for name, value in {
                "Content-Type": "application/problem+json",
                "Retry-After": "1",
                "Connection": "close",
                "Content-Length": str(len(_BODY)),
                **SECURITY,
            }.items()
        ],
    )
    + _BODY
)
log = structlog.get_logger(__name__)


class Connection(HttpProtocol):
    """A connection that is counted, and whose requests must arrive in time."""

    __slots__ = ("_arriving", "_arriving_since", "_begun", "reserved")
    HTTP_CLASS = StrictHttp

    def connection_made(self, transport: Any) -> None:
        """Accept a client, or turn it away."""
        self._arriving: object = None
        self._arriving_since = 0.0
        self._begun: bytes | None = None
        self.reserved = False
        reserved = self.app.ctx.reserved
        if len(self.connections) - len(reserved) >= self.app.config.MAX_CONNECTIONS:
            if len(reserved) >= RESERVED:
                # The one that has been silent for longest makes room.
                silent = next((one for one in reserved if one.is_silent), None)
                if silent is None:
                    self._turn_away(transport)
                    return
                silent.turn_away()
            self.reserved, self._begun = True, b""
            reserved[self] = None
            self.loop.call_later(PROBE_S, self._is_late)
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Process received bytes; on a reserved connection only a probe's request."""
        if self._begun is not None:
            self._begun += data
            if not any(probe.startswith(self._begun[: len(probe)]) for probe in _PROBES):
                self.turn_away()
                return
            if not self._begun.startswith(_PROBES):
                return  # it may still become one
            data, self._begun = self._begun, None
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self.app.ctx.reserved.pop(self, None)
        if self.conn_info is not None:  # None for one that was turned away
            super().connection_lost(exc)  # type: ignore[no-untyped-call]

    @property
    def is_silent(self) -> bool:
        """Whether it has not yet sent the beginning of a probe's request."""
        return self._begun is not None

    def turn_away(self) -> None:
        """Answer 503 and close the connection."""
        self.app.ctx.reserved.pop(self, None)
        self.connections.discard(self)
        if self.transport is not None and not self.transport.is_closing():
            self._turn_away(self.transport)

    def _turn_away(self, transport: Any) -> None:
        self.app.ctx.turned_away()
        transport.write(_FULL)
        transport.close()

    def _is_late(self) -> None:
        if self.is_silent:
            self.turn_away()

    def check_timeouts(self) -> None:
        """Cancel requests that take too long. Runs repeatedly while the connection is open."""
        now = time.monotonic()
        arriving = self._arriving_request()
        if arriving is None or arriving is not self._arriving:
            self._arriving, self._arriving_since = arriving, now
        elif now - self._arriving_since > self.app.config.RECEIVE_TIMEOUT and self._task:
            self._http.exception = RequestTimeout("Request Timeout")
            self._task.cancel()
            # The client gets 408; its input is read for a moment before the connection ends.
            self._callback_check_timeouts = self.loop.call_later(LINGER_S, self.check_timeouts)
            return
        super().check_timeouts()  # type: ignore[no-untyped-call]

    def _arriving_request(self) -> object:
        """Return an object that identifies the request that is arriving, None where none is."""
        http = self._http
        if http is None:
            return None
        if http.stage is Stage.REQUEST:
            return self  # its head
        # Its body, also of a refused request.
        return http.request if getattr(http, "request_body", None) else None


class HttpServer(Sanic[Any, Any]):
    """A Sanic application with bounded connections."""

    async def create_server(self, *args: Any, **kwargs: Any) -> Any:
        """Return a server; ``ctx.connections`` holds its connections."""
        self.config.MAX_CONNECTIONS = _room_for(self.config.MAX_CONNECTIONS)
        self.ctx.reserved = {}
        server: Any = await super().create_server(*args, protocol=Connection, **kwargs)
        self.ctx.connections = server.connections
        return server


def answering(connections: Collection[Connection]) -> int:
    """Return how many requests are being answered on ``connections``."""
    return sum(bool(one.http) for one in connections)


def streams_of(connections: int) -> int:
    """Return how many of a worker's connections may be streams."""
    return max(1, connections * 3 // 4)


def writes_of(connections: int) -> int:
    """Return how many of a worker's connections may wait for a commit: not all that streams leave.

    Writes that are held up, by a slow event store, then leave connections for reads.
    """
    return max(1, (connections - streams_of(connections)) * 3 // 4)


def _room_for(connections: int) -> int:
    """Raise the limit of open files; return the number of connections that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("fewer connections than asked for", asked=connections, open_files=allowed)
    return max(1, allowed - _OTHER_FILES)
