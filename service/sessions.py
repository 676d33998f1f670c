"""Sessions: families of refresh tokens in Redis, each token good for one use.

1. A session knows its current token. To refresh, that one is exchanged for the next, atomically.
2. The one before it, when it comes again within ``GRACE_S``, gets the same successor: the reply was
   lost, or two tabs asked at once.
3. Any other token of a living session was used before, so two hold the family and nobody can tell
   the thief: the session ends (RFC 9700, 4.14.2).
4. An unknown session has ended, expired, or Redis was lost: sign in again. A revoked token never
   comes back to life.

Keys: ``auth:session:{sid}`` and ``auth:session:{sid}:successor`` (one hash slot, so one script),
``auth:account:<account id>`` with the account's session ids by the time they expire. None belongs
to a generation of the read model.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import redis
import structlog
from redis.exceptions import RedisClusterException

from commands.errors import ReadModelUnavailableError, TokenNotValidError
from service.settings import Settings
from service.tokens import RefreshToken

GRACE_S = 10
log = structlog.get_logger(__name__)

# Redis's own clock ends the grace: the successor's key is gone after it.
_ROTATE = """
local account, presented, next_jti, answer, now_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl_s, grace_s = ARGV[6], ARGV[7]
local held = redis.call('HMGET', KEYS[1], 'account', 'jti', 'previous')
if held[1] ~= account then return {0} end
if held[2] == presented then
  redis.call('HSET', KEYS[1], 'jti', next_jti, 'previous', presented, 'refreshed_at', now_s)
  redis.call('EXPIRE', KEYS[1], ttl_s)
  redis.call('SET', KEYS[2], answer, 'EX', grace_s)
  return {1, answer}
end
local successor = held[3] == presented and redis.call('GET', KEYS[2])
if successor then return {1, successor} end
redis.call('DEL', KEYS[1], KEYS[2])
return {2}
"""
_UNKNOWN, _ROTATED, _REUSED = 0, 1, 2

_OPEN = """
redis.call('HSET', KEYS[1], 'account', ARGV[1], 'jti', ARGV[2], 'opened_at', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
"""

_HOLDS = """
local held = redis.call('HMGET', KEYS[1], 'account', 'jti', 'previous')
if held[1] ~= ARGV[1] then return 0 end
if held[2] == ARGV[2] then return 1 end
return held[3] == ARGV[2] and redis.call('EXISTS', KEYS[2]) or 0
"""


class Sessions:
    """Blocking and thread-safe. ReadModelUnavailableError where Redis does not answer."""

    def __init__(self, client: "redis.Redis", settings: Settings) -> None:
        self._redis = client
        self._ttl_s = settings.refresh_ttl_s
        self._open = client.register_script(_OPEN)
        self._rotate = client.register_script(_ROTATE)
        self._holds = client.register_script(_HOLDS)

    def open(self, token: RefreshToken) -> None:
        """Begin the session whose first refresh token this is."""
        now_s = int(time.time())
        with _reachable():
            self._list(token, now_s)
            self._open(_keys(token.sid), [str(token.account_id), token.jti, now_s, self._ttl_s])

    def rotate(self, token: RefreshToken, next_jti: str, answer: bytes) -> bytes:
        """Use ``token`` up and return the answer to give: ``answer``, or the one given before.

        Raises TokenNotValidError for a token that was used (and ends its session) or that belongs
        to no session.
        """
        now_s = int(time.time())
        account = str(token.account_id)
        given: list[str | bytes | int] = [account, token.jti, next_jti, answer, now_s]
        with _reachable():
            # Listed before it lives on: a session that the list misses could not be ended by it.
            self._list(token, now_s)
            outcome, *successor = self._rotate(_keys(token.sid), [*given, self._ttl_s, GRACE_S])
            if outcome != _ROTATED:
                self._unlist(token.account_id, token.sid)
        if outcome == _ROTATED:
            return bytes(successor[0])
        if outcome == _REUSED:
            log.warning("refresh token used twice", sid=token.sid, account=account)
        raise TokenNotValidError

    def holds(self, token: RefreshToken) -> bool:
        """Tell whether ``token`` could be used now. Changes nothing."""
        with _reachable():
            return bool(self._holds(_keys(token.sid), [str(token.account_id), token.jti]))

    def end(self, account_id: UUID, sid: str) -> None:
        """End a session, if there is such a one."""
        with _reachable():
            self._redis.delete(*_keys(sid))
            self._unlist(account_id, sid)

    def _list(self, token: RefreshToken, now_s: int) -> None:
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


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, RedisClusterException):
        raise ReadModelUnavailableError("sessions cannot be checked") from None
