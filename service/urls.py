"""URLs of the web among the settings: what is none, or cannot be built upon, is refused."""

import re
from urllib.parse import urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\]")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")


def base_url(text: str) -> str:
    """Return a URL that paths may be added to. Raises ValueError for what is none."""
    url = text.strip()
    if not _is_url(url):
        raise ValueError(
            'write a URL like "https://movies.example.org", without query and fragment'
        )
    return url.rstrip("/")


def origin(text: str) -> str:
    """Return an origin (RFC 6454) as browsers send it. Raises ValueError for what is none."""
    url = text.strip().lower()
    if not _is_url(url) or urlsplit(url).path:
        raise ValueError(
            'write origins like "https://app.example.org", with commas between, or "*"'
        )
    return url


def served_url(host: str, port: str) -> str:
    """Return where a browser on this machine finds what listens there; "" for a port to be found.

    And for what is no address, which is refused where it is listened on.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # every address: also this one
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return url if _is_url(url) else ""


def _is_url(url: str) -> bool:
    """Tell whether a URL is http or https, with a host, perhaps a port and a path, and no more."""
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
