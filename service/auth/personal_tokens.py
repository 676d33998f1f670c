"""Personal tokens as scripts send them, checked against the events of their account.

A token is ``cinelog_`` and 88 characters of base64url: the account's id, the token's id and a
secret of 272 random bits. The ids spare a search. The log has the SHA-256 of the secret: a slow
hash would not protect a random secret better.

1. A checked token counts for ``RECHECK_S``; then its next request reads the account again, while
   others at that moment go on. So a revocation is effective everywhere within ``RECHECK_S`` and the
   time of one read, at most ``READ_S``.
2. While the event store does not answer, a token that was checked in the last ``OUTAGE_S`` counts:
   as long as an access token would.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from sanic import Request

from commands.aggregates.user import User
from commands.errors import (
    EventStoreUnavailableError,
    TokenNotValidError,
    UnavailableError,
    UnreadableEventError,
)
from commands.event_store.store import Store
from service.auth.tokens import Principal
from service.thread_pool import Pool

PREFIX = "cinelog_"
RECHECK_S, READ_S = 2.0, 1.0
OUTAGE_S = 300.0
CACHED_TOKENS = 1_000
_ID_BYTES = 16
_SECRET_BYTES = 34  # with the ids a multiple of three: each text decodes to different bytes
_TEXT = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{88}})")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was made just now: its text for the caller, its digest for the log."""

    text: str = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token in the form that it was sent in; nothing is checked yet."""

    account_id: UUID
    token_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Checked:
    """A valid token; times are monotonic."""

    digest: str
    principal: Principal
    checked_at: float
    check_again_at: float


def new_token(account_id: UUID, token_id: UUID) -> NewToken:
    """Return a token with a new random secret."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    text = urlsafe_b64encode(account_id.bytes + token_id.bytes + secret).decode()
    return NewToken(PREFIX + text, _digest(secret))


def parse_token(text: str) -> GivenToken | None:
    """Return what a text names, None if it does not have the form of a personal token."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    content = urlsafe_b64decode(match[1])
    account_id, token_id = content[:_ID_BYTES], content[_ID_BYTES : 2 * _ID_BYTES]
    secret = content[2 * _ID_BYTES :]
    return GivenToken(UUID(bytes=account_id), str(UUID(bytes=token_id)), _digest(secret))


def token_in(request: Request) -> GivenToken | None:
    """Return the personal token in the ``Authorization`` of a request, None if it has none."""
    headers = request.headers.getall("authorization", [])
    scheme, _, text = "".join(headers).strip().partition(" ")
    if len(headers) != 1 or scheme.lower() != "bearer":
        return None
    return parse_token(text.strip())


def read_principal(store: Store, given: GivenToken) -> Principal:
    """Return the caller that a token names. Reads the log. Raises TokenNotValidError."""
    user = store.get(User, given.account_id)
    token = user.valid_tokens(datetime.now(UTC)).get(given.token_id) if user else None
    if user is None or token is None or not hmac.compare_digest(token.digest, given.digest):
        raise TokenNotValidError
    return Principal(user.id, user.username, "", token.scope, token.expires_at.timestamp())


class PersonalTokens:
    """Checks tokens for one event loop, and keeps at most 1,000 that were checked."""

    def __init__(self, store: Store, threads: Pool, *, recheck_s: float = RECHECK_S) -> None:
        self._store = store
        self._threads = threads
        self._recheck_s = recheck_s
        self._checked: OrderedDict[str, _Checked] = OrderedDict()

    def known(self, given: GivenToken) -> Principal | None:
        """Return the caller of a token that was checked before; ``check`` says if it still is."""
        checked = self._find(given)
        return checked.principal if checked else None

    async def check(self, given: GivenToken) -> Principal:
        """Return the caller that a token names.

        Raises TokenNotValidError, and EventStoreUnavailableError or BusyError where that cannot be
        found out.
        """
        checked, now = self._find(given), time.monotonic()
        if checked is None:
            return await self._read(given)
        if checked.principal.expires_at <= time.time():
            self.forget(given.token_id)
            raise TokenNotValidError
        if now >= checked.check_again_at:
            # Others go on with the earlier result meanwhile.
            again = replace(checked, check_again_at=now + self._recheck_s)
            self._checked[given.token_id] = again
            return await self._check_again(given, checked)
        self._checked.move_to_end(given.token_id)
        return checked.principal

    def forget(self, token_id: str) -> None:
        """Check a token before its next use, because it was revoked."""
        self._checked.pop(token_id, None)

    async def _check_again(self, given: GivenToken, checked: _Checked) -> Principal:
        try:
            return await self._read(given)
        except TokenNotValidError:
            self.forget(given.token_id)
            raise
        except (UnavailableError, UnreadableEventError):
            if time.monotonic() - checked.checked_at > OUTAGE_S:
                raise
            return checked.principal

    def _find(self, given: GivenToken) -> _Checked | None:
        checked = self._checked.get(given.token_id)
        if checked is None or not hmac.compare_digest(checked.digest, given.digest):
            return None
        return checked

    async def _read(self, given: GivenToken) -> Principal:
        try:
            async with asyncio.timeout(READ_S):
                principal = await self._threads.run(read_principal, self._store, given)
        except TimeoutError:
            raise EventStoreUnavailableError("the token cannot be checked") from None
        self._keep(given.digest, given.token_id, principal)
        return principal

    def _keep(self, digest: str, token_id: str, principal: Principal) -> None:
        now = time.monotonic()
        self._checked[token_id] = _Checked(digest, principal, now, now + self._recheck_s)
        self._checked.move_to_end(token_id)
        if len(self._checked) > CACHED_TOKENS:
            self._checked.popitem(last=False)


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
