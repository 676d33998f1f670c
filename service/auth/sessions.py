"""Sessions: families of refresh tokens in Redis, each token good for one use.

1. A session knows its current token. A refresh exchanges it for the next, atomically.
2. If the token before it comes again within ``GRACE_S``, it gets the same successor: the reply was
   lost, or two tabs refreshed at once.
3. Any other token of a living session was used before: two clients hold the family, and the thief
   cannot be told from the owner, so the session ends (RFC 9700, 4.14.2).
4. An unknown session has ended or expired, or Redis lost it: the account must sign in again.
5. A session is opened in Redis first and in the account's log second: no client holds tokens that
   the log does not know of. It ends in the log first and in Redis second. Each refresh asks the
   log, so a session that a crash or an outage left here cannot be used.

The answer to a refresh waits here for a client that lost its connection. Redis writes it into a
file, where it stays after it has expired, so it is sealed: its key is made from the presented
token, which is stored nowhere.

Keys: ``auth:session:{sid}`` and ``auth:session:{sid}:successor`` (one hash slot, so one script),
``auth:account:<account id>`` with the account's session ids by expiry. None of them belongs to a
generation of the read model.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import redis
import structlog
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from redis.exceptions import RedisClusterException

from commands.database.breaker import Breaker
from commands.errors import (
    ReadModelUnavailableError,
    TokenNotValidError,
    TokenReusedError,
)
from projections.lua import load_script
from projections.redis_client import tripping
from queries.pages import NumberedPage, page_within
from service.auth.tokens import RefreshToken
from service.settings import Settings

GRACE_S = 10
_END_BATCH = 500
# A path may hold any text; a session id consists of these characters.
_SID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SEAL = {"alg": "dir", "enc": "A256GCM"}
_UNKNOWN, _ROTATED, _REUSED = 0, 1, 2
_OPEN_SESSION = load_script("service.auth.lua.open_session")
_ROTATE_TOKEN = load_script(
    "service.auth.lua.rotate_token",
    {"UNKNOWN": _UNKNOWN, "ROTATED": _ROTATED, "REUSED": _REUSED},
)
_IS_USABLE = load_script("service.auth.lua.is_usable")
log = structlog.get_logger(__name__)


class Session(NamedTuple):
    """A living session; times are in seconds since 1970."""

    sid: str
    opened_at: float
    refreshed_at: float | None
    expires_at: float
    device: str
    """The ``User-Agent`` that opened it, "" if unknown."""


class Sessions:
    """Blocking and thread-safe. Raises ReadModelUnavailableError if Redis does not answer."""

    def __init__(
        self, client: "redis.Redis", settings: Settings, breaker: Breaker | None = None
    ) -> None:
        self._redis: Any = client  # its stubs answer for both kinds of client at once
        self._breaker = breaker
        self._ttl_s = settings.refresh_ttl_s

    def open(self, token: RefreshToken, device: str = "") -> None:
        """Open a session with its first refresh token, of a ``device`` that names itself."""
        now_s = time.time()
        with self._reachable():
            self._list(token, now_s)
            args = [str(token.account_id), token.jti, now_s, self._ttl_s, device]
            _OPEN_SESSION.run(self._redis, _keys(token.sid)[:1], args)

    def rotate(self, token: RefreshToken, next_jti: str, answer: bytes) -> bytes:
        """Use up ``token`` and return the sealed answer to give: this one, or the one given before.

        Raises TokenReusedError if the token was used before, which ends its session, and
        TokenNotValidError if it belongs to no session.
        """
        now_s = time.time()
        account = str(token.account_id)
        args: list[str | bytes | float] = [account, token.jti, next_jti, answer, now_s]
        with self._reachable():
            # First into the list: ``end_all`` would miss a session that is not in it.
            self._list(token, now_s)
            outcome, *successor = _ROTATE_TOKEN.run(
                self._redis, _keys(token.sid), [*args, self._ttl_s, GRACE_S]
            )
            if outcome != _ROTATED:
                self._unlist(token.account_id, token.sid)
        if outcome == _ROTATED:
            return bytes(successor[0])
        if outcome == _REUSED:
            log.warning("refresh token used twice", sid=token.sid, account=account)
            raise TokenReusedError(token.account_id, token.sid)
        raise TokenNotValidError

    def holds(self, token: RefreshToken) -> bool:
        """Return whether ``token`` could be used now. Changes nothing."""
        args = [str(token.account_id), token.jti]
        with self._reachable():
            return bool(_IS_USABLE.run(self._redis, _keys(token.sid), args))

    def end(self, account_id: UUID, sid: str) -> None:
        """End a session; an unknown one is ignored."""
        with self._reachable():
            self._redis.delete(*_keys(sid))
            self._unlist(account_id, sid)

    def belongs(self, account_id: UUID, sid: str) -> bool:
        """Return whether ``sid`` is a living session of the account."""
        if not _SID.fullmatch(sid):
            return False
        with self._reachable():
            holder: bytes | None = self._redis.hget(_keys(sid)[0], "account")
        return holder == str(account_id).encode()

    def end_all(self, account_id: UUID, spared: str = "") -> None:
        """End every session of an account except ``spared``."""
        with self._reachable():
            sids = [sid.decode() for sid in self._redis.zrange(_listing(account_id), 0, -1)]
            ended = [sid for sid in sids if sid != spared]
            for first in range(0, len(ended), _END_BATCH):
                pipe: Any = self._redis.pipeline(transaction=False)
                for sid in ended[first : first + _END_BATCH]:
                    for key in _keys(sid):
                        pipe.delete(key)
                    pipe.zrem(_listing(account_id), sid)
                pipe.execute()

    def page(self, account_id: UUID, number: int | None, size: int) -> NumberedPage[Session]:
        """Return some of an account's sessions, the last used first; None is the last page.

        Raises NotFoundError where there is no such page.
        """
        listed, now_s, account = _listing(account_id), time.time(), str(account_id).encode()
        with self._reachable():
            count = self._redis.zcount(listed, now_s, "+inf")
            page, last_page = page_within(count, number, size)
            found = self._redis.zrevrangebyscore(
                listed, "+inf", now_s, start=(page - 1) * size, num=size, withscores=True
            )
            pipe: Any = self._redis.pipeline(transaction=False)
            for sid, _ in found:
                pipe.hmget(_keys(sid.decode())[0], "account", "opened_at", "refreshed_at", "device")
            held = pipe.execute()
        # A session that is only in the list is being opened, or has just ended.
        living = [
            Session(
                sid.decode(),
                float(opened),
                float(used) if used else None,
                expires_at,
                (device or b"").decode(errors="replace"),
            )
            for (sid, expires_at), (holder, opened, used, device) in zip(found, held, strict=True)
            if holder == account
        ]
        return NumberedPage(count, living, page, last_page)

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            with tripping(self._breaker):
                yield
        except (redis.RedisError, RedisClusterException):
            raise ReadModelUnavailableError("sessions cannot be checked") from None

    def _list(self, token: RefreshToken, now_s: float) -> None:
        listed = _listing(token.account_id)
        pipe: Any = self._redis.pipeline()
        pipe.zadd(listed, {token.sid: now_s + self._ttl_s})
        pipe.zremrangebyscore(listed, "-inf", now_s)
        pipe.expire(listed, self._ttl_s)
        pipe.execute()

    def _unlist(self, account_id: UUID, sid: str) -> None:
        self._redis.zrem(_listing(account_id), sid)


def _keys(sid: str) -> list[str]:
    key = f"auth:session:{{{sid}}}"
    return [key, f"{key}:successor"]


def _listing(account_id: UUID) -> str:
    return f"auth:account:{account_id}"


def seal(answer: bytes, token: str) -> bytes:
    """Return the answer as a JWE (RFC 7516) that ``unseal`` opens with the same token."""
    return jwe.encrypt_compact(_SEAL, answer, _sealing_key(token)).encode()


def unseal(sealed: bytes, token: str) -> bytes:
    """Return a sealed answer. Raises TokenNotValidError for another token."""
    try:
        answer = jwe.decrypt_compact(sealed, _sealing_key(token)).plaintext
    except (JoseError, ValueError):
        raise TokenNotValidError from None
    if answer is None:
        raise TokenNotValidError
    return answer


def _sealing_key(token: str) -> OctKey:
    digest = hashlib.blake2b(token.encode(), digest_size=32, person=b"cinelog-answer")
    return OctKey.import_key(digest.digest())
