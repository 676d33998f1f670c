"""What every request meets on its way in and out: credentials, limits, headers, the ledger.

Every route needs good credentials unless it declares itself open (``ctx_open=True``).

The operations' own paths are let through: nobody limits, counts or logs them.
"""

import asyncio
import re
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter, time
from typing import Any, NamedTuple
from uuid import UUID

from sanic import Sanic
from sanic.response import BaseHTTPResponse
from sanic_routing.route import Route

from commands.errors import (
    NotAuthenticatedError,
    PreconditionFailedError,
    TokenNotValidError,
    UnavailableError,
    UnreadableEventError,
)
from service.auth.tokens import principal_of
from service.container import container_of
from service.observability.request_log import RequestLogBuffer
from service.ratelimit.limiter import RateLimiter
from service.routes import health
from service.web.body import PATCHES
from service.web.client_address import address_of, logged_as, scheme_of
from service.web.conditional import CONDITIONS, check_read
from service.web.problems import problem_of, respond
from service.web.request import CinelogRequest
from service.web.response import CSP, HSTS, SECURITY, ConstantHeaders, HTTPResponse
from service.web.trace_context import Trace

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARAMETER = re.compile(r"<([^:>]+)[^>]*>")
# Calls that take a password have limits of their own.
_PASSWORDS = frozenset({"register", "sign_in", "change_password"})
_READS = ("GET", "HEAD")
_LOOK_UP_S = 1.0
_text = lru_cache(10_000)(str)
_PLAIN, _SECURE = (ConstantHeaders(one, but=CSP) for one in (SECURITY, SECURITY | HSTS))
# Of answers behind a token: a shared cache keeps none, a browser's asks before it shows one again.
_PRIVATE = "private, no-cache"
_VARIES = "Authorization"


class _RoutePolicy(NamedTuple):
    """How requests of one route are treated. ``template`` is its path with names for values."""

    template: str
    limited: bool
    watched: bool
    open: bool


_NO_WAY = _RoutePolicy("unmatched", limited=True, watched=True, open=True)


def identify(request: CinelogRequest) -> None:
    """Set who sent ``request``, or why that is not known."""
    try:
        request.caller = principal_of(request)
    except (NotAuthenticatedError, TokenNotValidError) as error:
        request.refused = error


def is_open(app: Sanic[Any, Any], route: Route) -> bool:
    """Return whether a route answers without credentials: only where it says ``ctx_open=True``.

    HEAD is answered as GET is. OPTIONS tells the methods of a path to anyone.
    """
    if getattr(route.handler, "__auto_handler__", False):
        if route.methods == {"OPTIONS"}:
            return True
        answered_by = getattr(route.handler, "__route_handler__", None)
        return any(is_open(app, one) for one in app.router.routes if one.handler is answered_by)
    return getattr(route.ctx, "open", False) is True


def _check_conditions(request: CinelogRequest, response: BaseHTTPResponse) -> None:
    """Make an answer to GET or HEAD a 304, or a 412, where its preconditions say so."""
    headers = request.headers
    if not isinstance(response, HTTPResponse) or not any(name in headers for name in CONDITIONS):
        return
    coding = response.headers.pop("content-encoding", None)  # of a body that is sent
    try:
        if check_read(request, response.headers.get("etag")):
            if coding:
                response.headers["Content-Encoding"] = coding
            return
        response.status, response.body, response.content_type = HTTPStatus.NOT_MODIFIED, b"", None
    except PreconditionFailedError as error:
        refusal = respond(request, problem_of(error))
        response.status, response.body = refusal.status, refusal.body
        response.content_type = refusal.content_type
        response.headers.update(refusal.headers)


def _keep_private(response: BaseHTTPResponse) -> None:
    """Tell caches that an answer is one caller's, unless it says more."""
    response.headers.setdefault("Cache-Control", _PRIVATE)
    _vary(response, _VARIES)


def _vary(response: BaseHTTPResponse, name: str) -> None:
    """Tell caches that an answer depends on a header of the request."""
    varies = response.headers.get("vary")
    response.headers["Vary"] = f"{varies}, {name}" if varies else name


async def _look_up(request: CinelogRequest, account_id: UUID) -> None:
    """Raise TokenNotValidError where the log has no such account.

    Where that cannot be found out soon, the token alone counts.
    """
    container = container_of(request)
    with suppress(UnavailableError, UnreadableEventError, TimeoutError):
        async with asyncio.timeout(_LOOK_UP_S):
            await container.log_threads.run(container.store.check_account, account_id)


class RequestMiddleware:
    """The middleware of an API process; ``open`` comes before the first request."""

    def __init__(self, proxies: int) -> None:
        self._proxies = proxies
        self._ways: dict[str, _RoutePolicy] = {}
        self._limiter: RateLimiter
        self._ledger: RequestLogBuffer

    def open(self, limiter: RateLimiter, ledger: RequestLogBuffer) -> None:
        """Give it what it works with."""
        self._limiter = limiter
        self._ledger = ledger

    async def before(self, request: CinelogRequest) -> None:
        """Identify the caller and count the call. Raises ThrottledError."""
        if traceparent := request.headers.get("traceparent"):
            request.trace = Trace.of_header(traceparent)
        identify(request)
        if self._way(request).limited:
            await self._limiter.count_call(request)

    def admit(self, request: CinelogRequest) -> Coroutine[None, None, None] | None:
        """Refuse a request without good credentials, unless its route is open.

        Raises NotAuthenticatedError, TokenNotValidError, now or when awaited.
        """
        if self._way(request).open:
            return None
        if request.caller is None:
            raise request.refused
        account_id = request.caller.account_id
        return (
            None
            if container_of(request).store.is_known_account(account_id)
            else _look_up(request, account_id)
        )

    def after(self, request: CinelogRequest, response: BaseHTTPResponse) -> None:
        """Complete the answer's headers, and take down what became of the request."""
        if response.status == HTTPStatus.OK and request.method in _READS:
            _check_conditions(request, response)
        way = self._way(request)
        if not way.open:
            _keep_private(response)
        elif isinstance(response, HTTPResponse) and response.varies:
            _vary(response, response.varies)
        headers = response.headers
        headers["X-Request-ID"] = request.request_id
        if request.method == "OPTIONS" and "PATCH" in headers.get("allow", ""):
            headers["Accept-Patch"] = ", ".join(PATCHES)
        if request.policies:
            headers["RateLimit-Policy"] = request.policies
            headers["RateLimit"] = request.stands
        secure = self._proxies and scheme_of(request, self._proxies) == "https"
        (_SECURE if secure else _PLAIN).add_to(response)
        if way.watched:
            principal = request.caller
            self._ledger.add(
                (
                    time(),
                    request.request_id,
                    request.trace.trace_id if request.trace else "",
                    _text(principal.account_id) if principal else "",
                    self._client(request),
                    request.method if request.method in METHODS else "other",
                    way.template,
                    response.status,
                    perf_counter() - request.began,
                    headers.get("event-position", ""),
                )
            )

    def _client(self, request: CinelogRequest) -> str:
        if self._proxies or request.conn_info is None:
            return logged_as(address_of(request, self._proxies))
        known = request.conn_info.ctx  # the same for all requests of a connection
        if not hasattr(known, "client"):
            known.client = logged_as(address_of(request, 0))
        client: str = known.client
        return client

    def _way(self, request: CinelogRequest) -> _RoutePolicy:
        route = request.route
        if route is None:
            return _NO_WAY
        if (way := self._ways.get(route.name)) is None:
            template = "/" + _PARAMETER.sub(r"{\1}", route.path).strip("/")
            own = f".{health.blueprint.name}." in route.name
            counted = route.name.rpartition(".")[2] in _PASSWORDS
            way = _RoutePolicy(
                template, not own and not counted, not own, is_open(request.app, route)
            )
            self._ways[route.name] = way
        return way
