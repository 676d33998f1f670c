"""The address of this service as browsers see it, and whether a request comes from its own page."""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from sanic import Request

from service.settings import Settings
from service.web.transport.client_address import scheme_of


def base_of(request: Request, settings: Settings) -> str:
    """Return the URL that paths are appended to, "" where the service's address is not certain."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = request.headers.get("host", "")
    return _base_of_host(scheme_of(request, settings.proxies), host, settings.host)


def is_plain_loopback(request: Request, settings: Settings) -> bool:
    """Return whether the browser asks a loopback address without TLS."""
    split = urlsplit(base_of(request, settings))
    return split.scheme == "http" and _is_loopback(split.hostname or "")


def is_same_origin(request: Request, settings: Settings) -> bool:
    """Return whether a browser says that a page of this service sent the request."""
    headers = request.headers
    if headers.get("sec-fetch-site") == "same-origin":
        return True
    return "origin" in headers and headers["origin"] == _own_origin(request, settings)


def is_foreign(request: Request, settings: Settings) -> bool:
    """Return whether a browser says that a page of another origin sent the request."""
    headers = request.headers
    if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
        return True
    return "origin" in headers and not is_same_origin(request, settings)


def _own_origin(request: Request, settings: Settings) -> str | None:
    """Return the origin as browsers send it; None where it is not certain."""
    split = urlsplit(base_of(request, settings))
    return f"{split.scheme}://{split.netloc}".lower() if split.netloc else None


@lru_cache(maxsize=64)
def _base_of_host(scheme: str, host: str, served: str) -> str:
    """Return scheme and ``Host`` where it is a loopback name or the address served, else ""."""
    try:
        split = urlsplit(f"//{host}")
        name, port = split.hostname or "", split.port
    except ValueError:
        return ""
    if split.path or split.query or split.fragment or split.username is not None:
        return ""
    if name != served.lower() and not _is_loopback(name):
        return ""
    literal = f"[{name}]" if ":" in name else name
    return f"{scheme}://{literal}" + (f":{port}" if port is not None else "")


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
