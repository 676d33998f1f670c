"""Password links: each sets one new password within an hour (rule 6 of ``User``).

A token is the account's id and 32 random bytes, in base64url: 64 characters. The log has its
SHA-256, which is no help to guess 256 random bits. The token stands in the fragment of the URL,
which browsers send to no server.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple
from uuid import UUID

_ID_BYTES, _RANDOM_BYTES = 16, 32
_LENGTH = 64


class LinkToken(NamedTuple):
    """A token, the account that it is for, and the digest that the log has of it."""

    text: str
    account_id: UUID
    digest: str


def new_token(account_id: UUID) -> LinkToken:
    """Return a random token for an account."""
    text = urlsafe_b64encode(account_id.bytes + secrets.token_bytes(_RANDOM_BYTES)).decode()
    return LinkToken(text, account_id, _digest(text))


def parse_token(text: str) -> LinkToken | None:
    """Return a token that has the right form, valid or not; None for any other text."""
    if len(text) != _LENGTH or not text.isascii():
        return None
    try:
        content = urlsafe_b64decode(text)
    except ValueError:
        return None
    if len(content) != _ID_BYTES + _RANDOM_BYTES:
        return None
    return LinkToken(text, UUID(bytes=content[:_ID_BYTES]), _digest(text))


def page_url(base: str, token: LinkToken) -> str:
    """Return the URL of the page that asks for the new password; ``base`` ends in no slash."""
    return f"{base}/#/reset?token={token.text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
