"""Content negotiation (RFC 9110, 12.5), and the methods of a path.

A client that accepts nothing that a route produces gets 406. Problem documents are sent whatever
the client accepts: without reading one it still has the status.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sanic import Request, Sanic
from sanic.exceptions import InvalidHeader, MethodNotAllowed, NotFound, SanicException
from sanic.headers import MediaType, parse_accept
from sanic_routing.route import Route

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_KNOWN = 512
_LONGEST = 1_024
_CODING = re.compile(
    r"[ \t]*([a-z-]+|\*)[ \t]*(?:;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*)?", re.ASCII
)


def methods_of(request: Request) -> str:
    """Return the value of ``Allow`` for a path.

    Asks the router: its own error lacks the methods of paths with parameters.
    """
    methods = []
    for method in _METHODS:
        with suppress(MethodNotAllowed, NotFound):
            request.app.router.get(request.path, method, request.headers.get("host"))
            methods.append(method)
    return ", ".join(methods)


class NotAcceptableError(SanicException):
    """The client accepts nothing that the route produces."""

    status_code = 406
    quiet = True


class Negotiation:
    """Refuses requests whose ``Accept`` excludes the media type of the route.

    ``produced`` maps handlers to media types; other handlers answer without a body.
    """

    def __init__(self, produced: Mapping[Any, str | None]) -> None:
        self._produced = produced

    def check(self, request: Request) -> None:
        """Raise NotAcceptableError for a request that accepts nothing the route produces."""
        given = request.headers.get("accept")
        if given is None or given == "*/*" or (route := request.route) is None:
            return
        # HEAD is answered by what answers GET.
        produced = self._produced.get(getattr(route.handler, "__route_handler__", route.handler))
        if produced is not None and not accepts(given, produced):
            raise NotAcceptableError


def accepts(given: str, produced: str) -> bool:
    """Return whether an ``Accept`` header includes the media type ``produced``.

    An empty or malformed header includes every type. Parameters except ``q`` are ignored.
    """
    if given == produced:
        return True
    return _accepts(given, produced) if len(given) <= _LONGEST else _weigh(given, produced)


def _weigh(given: str, produced: str) -> bool:
    try:
        ranges = parse_accept(given.lower())
    except InvalidHeader:
        return True
    matching = [one for one in ranges if one.match(produced)]
    # The most specific range decides: application/json;q=0 overrides */*.
    return not ranges or (bool(matching) and max(matching, key=_specificity).q > 0)


def _specificity(one: MediaType) -> tuple[bool, bool, int]:
    return (one.type != "*", one.subtype != "*", len(one.params))


_accepts = lru_cache(_KNOWN)(_weigh)


def takes_gzip(request: Request) -> bool:
    """Return whether the client prefers gzip to no content coding (RFC 9110, 12.5.3).

    Malformed items of ``Accept-Encoding`` are ignored.
    """
    given = ",".join(request.headers.getall("accept-encoding", []))
    return len(given) <= _LONGEST and prefers_gzip(given.lower())


@lru_cache(_KNOWN)
def prefers_gzip(given: str) -> bool:
    """Return whether a lower-case value of ``Accept-Encoding`` prefers gzip."""
    weights: dict[str, float] = {}
    for item in given.split(","):
        if found := _CODING.fullmatch(item):
            weights[found[1]] = float(found[2] or 1)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def is_open(app: Sanic[Any, Any], route: Route) -> bool:
    """Return whether a route answers without credentials: only with ``ctx_open=True``.

    HEAD is as open as GET; OPTIONS is open on every path.
    """
    if getattr(route.handler, "__auto_handler__", False):
        if route.methods == {"OPTIONS"}:
            return True
        answered_by = getattr(route.handler, "__route_handler__", None)
        return any(is_open(app, one) for one in app.router.routes if one.handler is answered_by)
    return getattr(route.ctx, "open", False) is True
