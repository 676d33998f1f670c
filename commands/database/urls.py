"""URLs of servers with a user and a password.

A password may contain ``@``, ``/``, ``?``, ``#`` or ``%``. In a URL they must be percent-encoded
(RFC 3986, 3.2.1), but templates that insert a password seldom do that.
"""

import re
from urllib.parse import quote

_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUERY = re.compile(r"\?(?=\w+=)")
_PASSWORD_OPTION = re.compile(r"[?&]password=")
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^:\[\],]+)(?::\d+)?"
_HOSTS = re.compile(rf":\d+|{_HOST}(?:,{_HOST})*")


def quoted(url: str) -> str:
    """Return ``url`` with its user and password percent-encoded.

    The last ``@`` ends them, unless a plain host and port stand before the path.
    """
    scheme, mark, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not mark or not _has_user(rest, authority):
        return url
    at = rest.rindex("@") if "@" not in authority else _end_of_user(rest, authority)
    user, colon, password = rest[:at].partition(":")
    return f"{scheme}://{_encoded(user)}{colon}{_encoded(password)}{rest[at:]}"


def with_password(url: str, password: str) -> str:
    """Return the URL of a server with ``password``, which is not encoded yet.

    Raises ValueError if ``url`` has a password, or names no server. No message repeats it.
    """
    scheme, mark, rest = quoted(url).partition("://")
    if not mark or scheme == "sqlite":
        raise ValueError("the URL names no server that takes a password")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, _ = authority.rpartition("@")
    if ":" in user or _PASSWORD_OPTION.search(rest):
        raise ValueError("the URL has a password, too; remove one of them")
    hosts = rest.removeprefix(f"{user}@")
    return f"{scheme}://{user}:{quote(password, safe='')}@{hosts}"


def _has_user(rest: str, authority: str) -> bool:
    if "@" in authority:
        return True
    # "user:pa" of "user:pa/ss@host": the text after the colon is not a port.
    _, colon, port = authority.rpartition(":")
    is_port = port.rstrip("]").isdecimal() and _HOSTS.fullmatch(authority)
    return bool(colon and "@" in rest and not is_port)


def _end_of_user(rest: str, authority: str) -> int:
    """Return the index of the last ``@`` before the query."""
    before_query = _QUERY.split(rest, maxsplit=1)[0]
    return max(before_query.rindex("@"), authority.rindex("@"))


def _encoded(text: str) -> str:
    return quote(_BARE_PERCENT.sub("%25", text), safe="%!$&'()*+,;=:-._~")
