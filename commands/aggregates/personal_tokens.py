"""Personal tokens: credentials of an account for scripts, each with a scope and an end.

1. A token is valid until it is revoked or expires, and while its account is active. New passwords
   and signing out leave it as it is.
2. An account has at most 50 valid tokens.
3. The log has a token's digest, never its text.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from commands.errors import InvalidError

Scope = Literal["read", "write"]
READ: Scope = "read"
WRITE: Scope = "write"
NOT_FOUND = "No PersonalToken matches the given query."
WRONG_SCOPE = 'Enter "read" or "write".'
MAX_TOKENS = 50
DEFAULT_DAYS, MAX_DAYS = 90, 365


class PersonalToken(NamedTuple):
    """A token of an account; ``digest`` is the SHA-256 of its secret, in hexadecimal digits."""

    id: str
    name: str
    scope: str
    digest: str
    created_at: datetime
    expires_at: datetime


TokensById = Mapping[str, PersonalToken]


def unexpired(tokens: TokensById, at: datetime) -> dict[str, PersonalToken]:
    """Return the tokens that have not expired, the oldest first."""
    return {token.id: token for token in tokens.values() if token.expires_at > at}


def check_room(tokens: TokensById, at: datetime) -> None:
    """Raise InvalidError unless an account with these tokens can have one more."""
    if len(unexpired(tokens, at)) >= MAX_TOKENS:
        problem = f"An account has at most {MAX_TOKENS} personal tokens; revoke one first."
        raise InvalidError({"detail": [problem]})
