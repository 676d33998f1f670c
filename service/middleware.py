"""The middleware of all requests: credentials, rate limits, headers, the request log.

Every route needs good credentials unless it declares itself open (``ctx_open=True``), and those
below ``/ops/`` an operator's. The paths of probes are neither limited nor logged.
"""

import asyncio
import re
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter, time
from typing import NamedTuple
from uuid import UUID

from sanic.response import BaseHTTPResponse

from commands.aggregates.personal_tokens import WRITE
from commands.errors import (
    NotAuthenticatedError,
    PreconditionFailedError,
    TokenNotValidError,
    UnavailableError,
    UnreadableEventError,
)
from service.auth.personal_tokens import GivenToken, token_in
from service.auth.tokens import principal_of
from service.container import container_of
from service.errors import InsufficientScopeError
from service.observability.request_log import RequestLogBuffer
from service.ratelimit.limiter import RateLimiter
from service.routes import health, operators
from service.web.body import PATCHES
from service.web.browsers.session_cookies import access_token
from service.web.conditional import CONDITIONS, check_read
from service.web.negotiation import Negotiation, is_open
from service.web.problems import problem_of, respond
from service.web.request import API, CinelogRequest
from service.web.response import CSP, HSTS, SECURITY, ConstantHeaders, HTTPResponse
from service.web.trace_context import Trace
from service.web.transport.client_address import address_of, logged_as, scheme_of

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARAMETER = re.compile(r"<([^:>]+)[^>]*>")
_READS = ("GET", "HEAD")
_SAFE = ("GET", "HEAD", "OPTIONS")
# What manages accounts there needs a session.
_OPERATORS = f"{operators.PATH}/"
_MANAGING = (f"{API}/auth/", _OPERATORS)
_LOOK_UP_S = 1.0
_text = lru_cache(10_000)(str)
_PLAIN, _SECURE = (ConstantHeaders(one, but=CSP) for one in (SECURITY, SECURITY | HSTS))
# For answers behind a token: shared caches store none, a browser revalidates each.
_PRIVATE = "private, no-cache"


class _RoutePolicy(NamedTuple):
    """How requests of a route are treated; ``template`` is its path with names for values."""

    template: str
    limited: bool
    logged: bool
    open: bool
    manages: bool = False
    """Whether it changes an account, unless its method is safe."""
    operators: bool = False
    """Whether it is for operators only."""


_UNMATCHED = _RoutePolicy("unmatched", limited=True, logged=True, open=True)


def identify(request: CinelogRequest) -> None:
    """Set the caller of a request, or the error of its credentials."""
    try:
        if "cookie" in request.headers and "authorization" not in request.headers:
            container, request.by_cookie = container_of(request), True
            token = access_token(request, container.settings)
            request.caller = container.tokens.check(token)
        else:
            request.caller = principal_of(request)
    except (NotAuthenticatedError, TokenNotValidError) as error:
        request.auth_error = error


def _note_personal_token(request: CinelogRequest) -> None:
    """Set the caller to that of a personal token that was checked before."""
    given = request.personal_token = token_in(request)
    if given is not None:
        request.caller = container_of(request).personal_tokens.known(given)


async def _check_personal_token(
    request: CinelogRequest, given: GivenToken, policy: _RoutePolicy
) -> None:
    """Set the caller to that of a personal token.

    Raises TokenNotValidError, InsufficientScopeError, UnavailableError.
    """
    caller = request.caller = await container_of(request).personal_tokens.check(given)
    if request.method not in _SAFE and (caller.scope != WRITE or policy.manages):
        raise InsufficientScopeError


def _check_conditions(request: CinelogRequest, response: BaseHTTPResponse) -> None:
    """Turn an answer to GET or HEAD into 304 or 412 where a precondition fails."""
    headers = request.headers
    if not isinstance(response, HTTPResponse) or not any(name in headers for name in CONDITIONS):
        return
    coding = response.headers.pop("content-encoding", None)  # it describes a body
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


def _vary(response: BaseHTTPResponse, name: str) -> None:
    """Add a request header to ``Vary``."""
    varies = response.headers.get("vary")
    response.headers["Vary"] = f"{varies}, {name}" if varies else name


async def _check_account(request: CinelogRequest, account_id: UUID) -> None:
    """Raise TokenNotValidError where the log has no such account, or a closed one.

    Where the log does not answer soon, the token alone counts.
    """
    container = container_of(request)
    with suppress(UnavailableError, UnreadableEventError, TimeoutError):
        async with asyncio.timeout(_LOOK_UP_S):
            await container.log_threads.run(container.store.check_account, account_id)


async def _check_role(request: CinelogRequest) -> None:
    """Raise NotOperatorError unless the caller is an operator now.

    Raises TokenNotValidError if the session has ended.
    """
    container, principal = container_of(request), request.principal

    def check() -> None:
        container.auth_server.account_in(principal).check_operator()

    await container.log_threads.run(check)


class RequestMiddleware:
    """The middleware of an API process; ``open`` comes before the first request."""

    def __init__(self, proxies: int, negotiation: Negotiation) -> None:
        self._proxies = proxies
        self._negotiation = negotiation
        self._policies: dict[str, _RoutePolicy] = {}
        self._limiter: RateLimiter
        self._request_log: RequestLogBuffer

    def open(self, limiter: RateLimiter, request_log: RequestLogBuffer) -> None:
        """Use these parts, which a server makes when it starts."""
        self._limiter = limiter
        self._request_log = request_log

    async def before(self, request: CinelogRequest) -> None:
        """Let a request pass or refuse it.

        Raises ThrottledError, NotAcceptableError; unless the route is open, also
        NotAuthenticatedError or TokenNotValidError without good credentials,
        InsufficientScopeError or UnavailableError for a personal token, and NotOperatorError
        for a path of operators.
        """
        if traceparent := request.headers.get("traceparent"):
            request.trace = Trace.of_header(traceparent)
        identify(request)
        if request.caller is None:
            _note_personal_token(request)
        policy = self._policy_of(request)
        if policy.limited:
            await self._limiter.count_call(request)
        self._negotiation.check(request)
        if policy.open:
            return
        if request.personal_token:
            if not policy.limited:  # a check may read the log
                await self._limiter.count_call(request)
            await _check_personal_token(request, request.personal_token, policy)
        else:
            account_id = request.principal.account_id
            if not container_of(request).store.accounts.knows(account_id):
                await _check_account(request, account_id)
        if policy.operators:
            await _check_role(request)

    def after(self, request: CinelogRequest, response: BaseHTTPResponse) -> None:
        """Evaluate preconditions, complete the headers and log the request."""
        if response.status == HTTPStatus.OK and request.method in _READS:
            _check_conditions(request, response)
        policy = self._policy_of(request)
        if not policy.open:
            response.headers.setdefault("Cache-Control", _PRIVATE)
            _vary(response, "Authorization")
            if request.by_cookie:
                _vary(response, "Cookie")
        elif isinstance(response, HTTPResponse) and response.varies:
            _vary(response, response.varies)
        headers = response.headers
        headers["X-Request-ID"] = request.request_id
        if request.method == "OPTIONS" and "PATCH" in headers.get("allow", ""):
            headers["Accept-Patch"] = ", ".join(PATCHES)
        if request.rate_limit_policy:
            headers["RateLimit-Policy"] = request.rate_limit_policy
            headers["RateLimit"] = request.rate_limit
        secure = self._proxies and scheme_of(request, self._proxies) == "https"
        (_SECURE if secure else _PLAIN).add_to(response)
        if policy.logged:
            self._log(request, response, policy.template)

    def _log(self, request: CinelogRequest, response: BaseHTTPResponse, template: str) -> None:
        caller = request.caller
        self._request_log.add(
            (
                time(),
                request.request_id,
                request.trace.trace_id if request.trace else "",
                _text(caller.account_id) if caller else "",
                self._client(request),
                request.method if request.method in METHODS else "other",
                template,
                response.status,
                perf_counter() - request.began,
                response.headers.get("event-position", ""),
            )
        )

    def _client(self, request: CinelogRequest) -> str:
        if self._proxies or request.conn_info is None:
            return logged_as(address_of(request, self._proxies))
        connection = request.conn_info.ctx
        if not hasattr(connection, "client"):
            connection.client = logged_as(address_of(request, 0))
        client: str = connection.client
        return client

    def _policy_of(self, request: CinelogRequest) -> _RoutePolicy:
        route = request.route
        if route is None:
            return _UNMATCHED
        if (policy := self._policies.get(route.name)) is None:
            is_probe = f".{health.blueprint.name}." in route.name
            takes_password = getattr(route.ctx, "password", False)
            template = "/" + _PARAMETER.sub(r"{\1}", route.path).strip("/")
            policy = self._policies[route.name] = _RoutePolicy(
                template=template,
                limited=not is_probe and not takes_password,  # by username and address instead
                logged=not is_probe,
                open=is_open(request.app, route),
                manages=f"{template}/".startswith(_MANAGING),
                operators=f"{template}/".startswith(_OPERATORS),
            )
        return policy
