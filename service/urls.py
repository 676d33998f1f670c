"""Validation of the settings that are web URLs."""

import re
from urllib.parse import urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\]")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")


def base_url(text: str) -> str:
    """Return a URL to which paths may be appended. Raises ValueError if it is invalid."""
    url = text.strip()
    if not _is_url(url):
        raise ValueError('write a URL like "https://movies.example.org", without query or fragment')
    return url.rstrip("/")


def origin(text: str) -> str:
    """Return an origin (RFC 6454) as browsers send it. Raises ValueError if it is invalid."""
    url = text.strip().lower()
    if not _is_url(url) or urlsplit(url).path:
        raise ValueError(
            'write origins like "https://app.example.org", separated by commas, or "*"'
        )
    return url


def served_url(host: str, port: str) -> str:
    """Return the URL of a listener for a browser on this machine.

    Return "" for port 0, which is not known yet, and for an invalid address, which the listener
    refuses.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # all addresses include these
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return url if _is_url(url) else ""


def _is_url(url: str) -> bool:
    """Return whether a URL is http or https with a host and at most a port and a path."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return False
    host = split.netloc if port is None else split.netloc.rpartition(":")[0]
    return (
        split.scheme in ("http", "https")
        and port != 0
        and not set(url) & set("?#")
        and bool(_HOST.fullmatch(host) and _PATH.fullmatch(split.path))
    )
