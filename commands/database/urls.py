"""URLs of servers with a user and a password in them, as they are pasted together.

A password may hold ``@``, ``/``, ``?``, ``#`` or ``%``, which belong percent-encoded in a URL
(RFC 3986, 3.2.1) and seldom are where a template puts it in.
"""

import re
from urllib.parse import quote

_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUERY = re.compile(r"\?(?=\w+=)")
_PORT = re.compile(r"\d+")


def quoted(url: str) -> str:
    """Return ``url`` with its user and password percent-encoded where they are not.

    The last ``@`` ends them, unless what stands before the path is a plain host and port.
    """
    scheme, mark, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not mark or not _has_user(rest, authority):
        return url
    at = rest.rindex("@") if "@" not in authority else _end_of_user(rest, authority)
    user, colon, password = rest[:at].partition(":")
    return f"{scheme}://{_encoded(user)}{colon}{_encoded(password)}{rest[at:]}"


def _has_user(rest: str, authority: str) -> bool:
    if "@" in authority:
        return True
    # "user:pa" of "user:pa/ss@host": what follows the colon is no port.
    _, colon, port = authority.rpartition(":")
    return bool(authority and colon and "@" in rest and not _PORT.fullmatch(port.strip("[]")))


def _end_of_user(rest: str, authority: str) -> int:
    """Return where the last ``@`` stands that is not part of the query."""
    before_query = _QUERY.split(rest, maxsplit=1)[0]
    return max(before_query.rindex("@"), authority.rindex("@"))


def _encoded(text: str) -> str:
    return quote(_BARE_PERCENT.sub("%25", text), safe="%!$&'()*+,;=:-._~")
