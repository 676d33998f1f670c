"""The cookies of a browser's session: the access token and the refresh token.

No script can read them, and browsers send them only with requests of the service's own pages. Over
TLS their names begin with ``__Host-`` and ``__Secure-``, which browsers take from this host alone.
On a loopback address without TLS, where browsers refuse such names, the prefixes are left out.
"""

from typing import NamedTuple

from sanic import Request

from commands.errors import NotAuthenticatedError, TokenNotValidError
from service.settings import Settings
from service.web.browsers.own_origin import is_plain_loopback, is_same_origin
from service.web.request import API
from service.web.response import HTTPResponse

SESSION_PATH = f"{API}/auth/session/"
PAGE_HEADER, PAGE = "X-Cinelog", "page"
ACCESS, REFRESH = "__Host-cinelog", "__Secure-cinelog-refresh"
_READS = ("GET", "HEAD")


class _Names(NamedTuple):
    access: str
    refresh: str
    attributes: str


_SECURE = _Names(ACCESS, REFRESH, "; Secure; HttpOnly; SameSite=Strict")
_PLAIN = _Names("cinelog", "cinelog-refresh", "; HttpOnly; SameSite=Strict")


def access_token(request: Request, settings: Settings) -> str:
    """Return the access token in the cookie of a request from the service's own page.

    Raises NotAuthenticatedError where there is none, where the browser does not say that the page
    is ours, or where a request that may change something lacks the header that only a page's script
    can send; TokenNotValidError for several.
    """
    token = _value(request, _names(request, settings).access)
    is_ours = is_same_origin(request, settings)
    if request.method not in _READS and request.headers.get(PAGE_HEADER) != PAGE:
        is_ours = False
    if not token or not is_ours:
        raise NotAuthenticatedError
    return token


def session_token(request: Request, settings: Settings) -> str | None:
    """Return the refresh token in the cookies of a request, else the access token."""
    names = _names(request, settings)
    return _value(request, names.refresh) or _value(request, names.access)


def refresh_token(request: Request, settings: Settings) -> str:
    """Return the refresh token in the cookie of a request. Raises NotAuthenticatedError."""
    token = _value(request, _names(request, settings).refresh)
    if not token:
        raise NotAuthenticatedError
    return token


def set_cookies(
    request: Request, response: HTTPResponse, settings: Settings, access: str, refresh: str
) -> None:
    """Give the browser both tokens, for as long as they are valid."""
    _set(request, response, settings, (access, settings.access_ttl_s, refresh))


def clear_cookies(request: Request, response: HTTPResponse, settings: Settings) -> None:
    """Take both tokens from the browser."""
    _set(request, response, settings, ("", 0, ""))


def _set(
    request: Request, response: HTTPResponse, settings: Settings, given: tuple[str, int, str]
) -> None:
    names, (access, access_s, refresh) = _names(request, settings), given
    refresh_s = settings.refresh_ttl_s if refresh else 0
    for name, value, path, age_s in (
        (names.access, access, "/", access_s),
        (names.refresh, refresh, SESSION_PATH, refresh_s),
    ):
        cookie = f"{name}={value}; Path={path}; Max-Age={age_s}{names.attributes}"
        response.headers.add("Set-Cookie", cookie)


def _names(request: Request, settings: Settings) -> _Names:
    return _PLAIN if is_plain_loopback(request, settings) else _SECURE


def _value(request: Request, name: str) -> str:
    """Return the value of a cookie, "" without it. Raises TokenNotValidError for several."""
    values = request.cookies.getlist(name, []) if "cookie" in request.headers else []
    if len(values) > 1:
        raise TokenNotValidError
    return values[0] if values else ""
