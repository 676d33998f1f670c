"""Cursors: places in a list, sealed so that they come back as they were given.

A cursor holds the ordering, a digest of the filters, and the place that the next page comes after.
Its seal is an HMAC under a key derived from the signing keys, which all nodes share: a cursor made
before a key was rotated is good for as long as that key verifies.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import replace
from functools import lru_cache

from commands.errors import NotFoundError
from queries.filters import MovieQuery
from service.keys import SigningKeys

_SEAL_BYTES = 16
_DIGEST_BYTES = 8
MAX_CURSOR = 4_096


def seal(place: str, query: MovieQuery, keys: SigningKeys) -> str:
    """Return the cursor for what comes after ``place`` in ``query``."""
    sealed = _digest(query) + place.encode()
    secret = _secrets(keys, keys.kids)[0]
    return urlsafe_b64encode(_seal(sealed, secret) + sealed).rstrip(b"=").decode()


def unseal(cursor: str, query: MovieQuery, keys: SigningKeys) -> MovieQuery:
    """Return ``query`` from where ``cursor`` says on.

    Raises NotFoundError for a cursor that is not ours, or was given for other filters.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        content = urlsafe_b64decode(padded) if len(cursor) <= MAX_CURSOR else b""
    except (Base64Error, ValueError):
        content = b""
    given, sealed = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    ours = any(
        hmac.compare_digest(given, _seal(sealed, secret)) for secret in _secrets(keys, keys.kids)
    )
    if not ours or sealed[:_DIGEST_BYTES] != _digest(query):
        raise NotFoundError("Invalid cursor.")
    return replace(query, after=sealed[_DIGEST_BYTES:].decode())


@lru_cache(maxsize=8)
def _secrets(keys: SigningKeys, kids: frozenset[str]) -> list[bytes]:  # noqa: ARG001 - part of the cache's key
    """Return a secret for each key that has a private part, that of the signing key first."""
    private = (key.as_dict(private=True).get("d") for key in keys.verifying.keys)
    return [hashlib.sha256(f"cinelog cursor {d}".encode()).digest() for d in private if d]


def _digest(query: MovieQuery) -> bytes:
    """Return what tells filters and ordering from others; a page's size may change."""
    same = replace(query, page=1, page_size=1, after="")
    return hashlib.blake2b(repr(same).encode(), digest_size=_DIGEST_BYTES).digest()


def _seal(content: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, content, "sha256")[:_SEAL_BYTES]
