"""Pagination: links to other pages, and the cursors in them.

A cursor is the base64url text of a checksum and a seek key. The checksum covers the seek key and
the query, so a damaged cursor, or one for other filters or another ordering, is refused. It is no
signature: a cursor grants nothing that the list does not.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from sanic import Request

from commands.errors import NotFoundError
from queries.movie_query import MovieQuery
from queries.orderings import is_seek_key
from queries.pages import NumberedPage
from service.container import container_of
from service.web.browsers.own_origin import base_of

MAX_CURSOR = 4_096
_PAGING = ("page", "page_size")
_CHECKSUM_BYTES = 12


def link(request: Request, path: str, query: dict[str, str] | None = None) -> str:
    """Return a link to ``path``: absolute where the service's address is certain, else a path."""
    base = base_of(request, container_of(request).settings)
    return f"{base}{path}?{urlencode(query)}" if query else base + path


def link_with(request: Request, path: str, known: Collection[str], **changes: str | None) -> str:
    """Return a link with the request's ``known`` parameters and ``changes``; None removes one.

    Unknown parameters have no effect, and could make a link that is too long to be accepted.
    """
    params = {name: values[-1] for name, values in request.args.items() if name in known}
    query = {name: value for name, value in (params | changes).items() if value is not None}
    return link(request, path, query)


def page_body(
    request: Request, path: str, page: NumberedPage[Any], results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the body of a page, with links to the next and the previous one of the same size.

    ``results`` are the representations of its items.
    """

    def link_to(number: int) -> str | None:
        exists = 1 <= number <= page.last_page
        return link_with(request, path, _PAGING, page=str(number)) if exists else None

    return {
        "count": page.count,
        "next": link_to(page.page + 1),
        "previous": link_to(page.page - 1),
        "results": results,
    }


def cursor_of(seek_key: str, query: MovieQuery) -> str:
    """Return the cursor for the rows of ``query`` that come after a seek key."""
    content = seek_key.encode()
    return urlsafe_b64encode(_checksum(content, query) + content).rstrip(b"=").decode()


def continue_from(query: MovieQuery, cursor: str) -> MovieQuery:
    """Return ``query`` with the rows after ``cursor``.

    Raises NotFoundError for a cursor that ``cursor_of`` does not return for this query.
    """
    try:
        after = _decode(cursor)[_CHECKSUM_BYTES:].decode()
    except ValueError:
        after = ""
    if not is_seek_key(after, query.orderings) or cursor_of(after, query) != cursor:
        raise NotFoundError("Invalid cursor.")
    return replace(query, after=after)


def _decode(cursor: str) -> bytes:
    if len(cursor) > MAX_CURSOR:
        return b""
    return urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))


def _checksum(content: bytes, query: MovieQuery) -> bytes:
    """Return the checksum of a seek key in a query; the page size may change."""
    same = replace(query, page=1, page_size=1, after="")
    digest = hashlib.blake2b(repr(same).encode("utf-8", "backslashreplace"), digest_size=32)
    digest.update(b"\0" + content)
    return digest.digest()[:_CHECKSUM_BYTES]
