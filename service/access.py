"""What every request meets on its way in and out: its limit, its headers, its line in the log.

The operations' own paths are let through: nobody limits, counts or logs them.
"""

import re
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from time import perf_counter
from typing import NamedTuple

from sanic.response import BaseHTTPResponse

from commands.errors import NotAuthenticatedError, TokenNotValidError
from service import operations
from service.client import address_of, logged_as, scheme_of
from service.limits import Limits
from service.logs import RequestLog
from service.metrics import Metrics
from service.requests import CinelogRequest
from service.settings import Settings
from service.tokens import principal_of
from service.tracing import trace_id_of

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_HSTS = "max-age=31536000"
_PARAMETER = re.compile(r"<([^:>]+)[^>]*>")
# Calls that take a password have limits of their own.
_PASSWORDS = frozenset({"register", "sign_in", "change_password"})


class _Way(NamedTuple):
    """How requests of one route are treated. ``template`` is its path with names for values."""

    template: str
    limited: bool
    watched: bool


_NO_WAY = _Way("unmatched", limited=True, watched=True)


class Edge:
    """The middleware of an API process."""

    def __init__(
        self, settings: Settings, limits: Limits, metrics: Metrics, lines: RequestLog
    ) -> None:
        self._proxies = settings.proxies
        self._limits = limits
        self._metrics = metrics
        self._lines = lines
        self._ways: dict[str, _Way] = {}

    def before(self, request: CinelogRequest) -> Coroutine[None, None, None] | None:
        """Find out who asks, and count the call. Raises ThrottledError, now or when awaited."""
        if traceparent := request.headers.get("traceparent"):
            request.trace_id = trace_id_of(traceparent)
        with suppress(NotAuthenticatedError, TokenNotValidError):
            request.principal = principal_of(request)
        return self._limits.call(request) if self._way(request).limited else None

    def after(self, request: CinelogRequest, response: BaseHTTPResponse) -> None:
        """Complete the answer's headers, and take down what became of the request."""
        headers = response.headers
        headers["X-Request-ID"] = request.request_id
        if request.policies:
            headers["RateLimit-Policy"] = request.policies
            headers["RateLimit"] = request.stands
        for name, value in SECURITY.items():
            if name not in headers:
                headers[name] = value
        if self._proxies and scheme_of(request, self._proxies) == "https":
            headers["Strict-Transport-Security"] = _HSTS
        way = self._way(request)
        if way.watched:
            took_s = perf_counter() - request.began
            self._metrics.observe(way.template, request.method, response.status, took_s)
            self._log(request, response, way.template, took_s)

    def _log(
        self, request: CinelogRequest, response: BaseHTTPResponse, route: str, took_s: float
    ) -> None:
        failed = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        line = {
            "event": "request",
            "level": "error" if failed else "info",
            "timestamp": datetime.now(UTC),
            "request_id": request.request_id,
            "method": request.method,
            "route": route,
            "status": response.status,
            "duration_ms": round(took_s * 1000, 3),
            "client": logged_as(address_of(request, self._proxies)),
        }
        if request.principal:
            line["account"] = request.principal.account_id
        if position := response.headers.get("event-position"):
            line["position"] = int(position)
        if request.trace_id:
            line["trace_id"] = request.trace_id
        self._lines.write(line)

    def _way(self, request: CinelogRequest) -> _Way:
        route = request.route
        if route is None:
            return _NO_WAY
        if (way := self._ways.get(route.name)) is None:
            template = "/" + _PARAMETER.sub(r"{\1}", route.path).strip("/")
            own = f".{operations.blueprint.name}." in route.name
            counted = route.name.rpartition(".")[2] in _PASSWORDS
            way = self._ways[route.name] = _Way(template, not own and not counted, not own)
        return way
