"""What a client may ask for: the methods of a path, and the media types it answers.

Who accepts nothing that a route produces is told so, with 406 (RFC 9110 §12.5.1). Problem documents
go out whatever is accepted: a client that cannot read one has the status.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sanic import Request
from sanic.exceptions import InvalidHeader, MethodNotAllowed, NotFound, SanicException
from sanic.headers import MediaType, parse_accept

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_KNOWN = 512
_LONGEST = 1_024
_CODING = re.compile(
    r"[ \t]*([a-z-]+|\*)[ \t]*(?:;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*)?", re.ASCII
)


def methods_of(request: Request) -> str:
    """Return the methods that a path takes, as ``Allow`` has them.

    Asks the router, whose own error does not tell them of a path with parameters.
    """
    found = []
    for method in _METHODS:
        with suppress(MethodNotAllowed, NotFound):
            request.app.router.get(request.path, method, request.headers.get("host"))
            found.append(method)
    return ", ".join(found)


class NotAcceptableError(SanicException):
    """The client accepts nothing that the route produces."""

    status_code = 406
    quiet = True


class Negotiation:
    """Refuses requests whose ``Accept`` the route cannot meet.

    ``produced`` is what a handler answers; one that is not known answers nothing that has a type.
    """

    def __init__(self, produced: Mapping[Any, str | None]) -> None:
        self._produced = produced

    def check(self, request: Request) -> None:
        """Raise NotAcceptableError. Costs next to nothing without ``Accept``, and for ``*/*``."""
        given = request.headers.get("accept")
        if given is None or given == "*/*" or (route := request.route) is None:
            return
        # HEAD is answered by what answers GET.
        produced = self._produced.get(getattr(route.handler, "__route_handler__", route.handler))
        if produced is not None and not accepts(given, produced):
            raise NotAcceptableError


def accepts(given: str, produced: str) -> bool:
    """Return whether an ``Accept`` header takes the media type ``produced``.

    One that is empty or makes no sense takes anything. Parameters but ``q`` make no difference.
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
    # The most specific range decides: application/json;q=0 outdoes */*.
    return not ranges or (bool(matching) and max(matching, key=_specificity).q > 0)


def _specificity(one: MediaType) -> tuple[bool, bool, int]:
    return (one.type != "*", one.subtype != "*", len(one.params))


_accepts = lru_cache(_KNOWN)(_weigh)


def takes_gzip(request: Request) -> bool:
    """Return whether the client prefers gzip to no content coding (RFC 9110 §12.5.3).

    An item of ``Accept-Encoding`` that makes no sense counts for nothing.
    """
    given = ",".join(request.headers.getall("accept-encoding", []))
    return len(given) <= _LONGEST and prefers_gzip(given.lower())


@lru_cache(_KNOWN)
def prefers_gzip(given: str) -> bool:
    """Return the same for the value of ``Accept-Encoding``, in lower case."""
    weights: dict[str, float] = {}
    for item in given.split(","):
        if found := _CODING.fullmatch(item):
            weights[found[1]] = float(found[2] or 1)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
