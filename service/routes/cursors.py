"""Cursors: opaque places in a list.

A cursor is the base64url text of a checksum and a place. The checksum covers the place and the
query it was made for, so a damaged cursor, or one for other filters or another ordering, is
refused. It is no signature: a cursor grants nothing that the list does not. ``is_place`` checks
the form of what is inside.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace

from commands.errors import NotFoundError
from queries.movie_query import MovieQuery
from queries.orderings import is_seek_key

_CHECKSUM_BYTES = 12
MAX_CURSOR = 4_096


def cursor_of(place: str, query: MovieQuery) -> str:
    """Return the cursor for what comes after ``place`` in ``query``."""
    content = place.encode()
    return urlsafe_b64encode(_checksum(content, query) + content).rstrip(b"=").decode()


def continue_from(query: MovieQuery, cursor: str) -> MovieQuery:
    """Return ``query`` from the place of ``cursor`` on.

    Raises NotFoundError for a cursor that the service does not make for this query.
    """
    try:
        after = _content(cursor)[_CHECKSUM_BYTES:].decode()
    except ValueError:
        after = ""
    if not is_seek_key(after, query.orderings) or cursor_of(after, query) != cursor:
        raise NotFoundError("Invalid cursor.")
    return replace(query, after=after)


def _content(cursor: str) -> bytes:
    if len(cursor) > MAX_CURSOR:
        return b""
    return urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))


def _checksum(place: bytes, query: MovieQuery) -> bytes:
    """Return the checksum of a place in a query; the size of a page may change."""
    same = replace(query, page=1, page_size=1, after="")
    digest = hashlib.blake2b(repr(same).encode("utf-8", "backslashreplace"), digest_size=32)
    digest.update(b"\0" + place)
    return digest.digest()[:_CHECKSUM_BYTES]
