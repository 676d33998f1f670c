"""One round trip to Redis for all that a process asks at the same moment.

What coroutines ask in one turn of the event loop, and while an earlier flush is on its way, goes
out as one pipeline. Each caller gets its own answer or its own error. Equal reads in one flush are
asked once; whoever shares an answer must not change it. Where Redis does not answer, all that wait
are told at once, and so is everybody until it is back.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    DataError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from commands.database.breaker import Breaker
from commands.errors import BusyError, ReadModelUnavailableError
from projections.lua import Script

MAX_WAITING = 10_000
# More in one pipeline would only keep the first of them waiting for the last.
_FLUSH = 512
_SHAREABLE = frozenset(
    {b"GET", b"HGET", b"HMGET", b"HGETALL", b"EXISTS", b"ZCARD", b"ZSCORE", b"TTL", b"PTTL"}
)
# Refusals that speak of the server's state, not of the command.
_AWAY = (
    AskError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
REFUSES_WRITES = "MISCONF "
"""What a refusal begins with where Redis cannot write its own file; reads go on."""
# Refusals of the same kind that the client has no class for, or whose class says too little.
_AWAY_WORDS = (
    REFUSES_WRITES,
    *("BUSY ", "CLUSTERDOWN ", "LOADING ", "MASTERDOWN ", "NOAUTH ", "NOPERM ", "NOREPLICAS "),
    *("OOM ", "READONLY ", "TRYAGAIN ", "UNKILLABLE ", "WRONGPASS "),
)
# A flush that takes longer is given up: one of its answers may come late, but not each of them.
_PATIENCE_S = 1.5

_Args = tuple[bytes, ...]
_Waiting = list["asyncio.Future[Any]"]


class _LostError(Exception):
    """A flush that was not answered, and why."""


class RequestBatcher:
    """Gathers commands on an asynchronous client, for one event loop.

    For reads, and for scripts that may run twice: a flush whose connection breaks is sent again.
    """

    def __init__(
        self, redis: Any, *, limit: int = MAX_WAITING, breaker: Breaker | None = None
    ) -> None:
        self._redis = redis
        self._breaker = breaker
        self._limit = limit
        self._shared: dict[_Args, _Waiting] = {}
        self._asked: list[tuple[_Args, _Waiting]] = []
        self._waiting = 0
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    async def call(self, *args: str | bytes | float) -> Any:
        """Return Redis's answer to one command.

        Raises ReadModelUnavailableError where Redis is away, BusyError when too many wait, and
        ResponseError where Redis refuses this command.
        """
        encoded = tuple(map(_encoded, args))
        return await self._ask(encoded, share=encoded[0].upper() in _SHAREABLE)

    async def script(
        self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | float] = ()
    ) -> Any:
        """Return what a script answers; raises as ``call`` does."""
        encoded = (str(len(keys)).encode(), *map(_encoded, keys), *map(_encoded, args))
        try:
            return await self._ask(
                (b"EVALSHA", script.sha.encode(), *encoded), share=script.shareable
            )
        except NoScriptError:
            return await self._ask(
                (b"EVAL", script.text.encode(), *encoded), share=script.shareable
            )

    async def close(self) -> None:
        """End; whoever still waits gets ReadModelUnavailableError."""
        self._closed = True
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])

    async def _ask(self, args: _Args, *, share: bool) -> Any:
        if self._closed:
            raise ReadModelUnavailableError("it is being closed")
        if self._breaker:
            self._breaker.check()
        if self._waiting >= self._limit:
            raise BusyError("too many reads wait")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not share:
            self._asked.append((args, [answer]))
        elif (together := self._shared.get(args)) is not None:
            together.append(answer)
        else:
            self._shared[args] = together = [answer]
            self._asked.append((args, together))
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush())
        self._waiting += 1
        try:
            return await answer
        finally:
            self._waiting -= 1

    async def _flush(self) -> None:
        asked: list[tuple[_Args, _Waiting]] = []
        try:
            while self._asked:
                asked = list(islice(self._asked, _FLUSH))
                del self._asked[: len(asked)]
                for args, _ in asked:
                    self._shared.pop(args, None)
                _answer(asked, await self._send([args for args, _ in asked]))
                asked = []
                if self._breaker and self._breaker.is_open:
                    return
        finally:
            self._flusher = None
            # Where Redis is away, or this was broken off: nobody waits for what will not come.
            left = asked + self._asked
            self._asked, self._shared = [], {}
            _answer(left, [ConnectionAbortedError()] * len(left))

    async def _send(self, commands: list[_Args]) -> Sequence[Any]:
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for args in commands:
                # Not evalsha(): a cluster's pipeline blocks the method, though not the command.
                # The name is text: that is how the client looks up where a command goes.
                pipeline.execute_command(args[0].decode(), *args[1:])
            async with asyncio.timeout(_PATIENCE_S):
                answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            if self._breaker:
                self._breaker.trip(type(error).__name__)
            return [_LostError(error)] * len(commands)
        return answers


def _answer(asked: list[tuple[_Args, _Waiting]], answers: Sequence[Any]) -> None:
    for (_, waiting), answer in zip(asked, answers, strict=True):
        for one in waiting:
            if one.done():  # whoever asked has gone
                continue
            if isinstance(answer, Exception):
                one.set_exception(_told(answer))
            else:
                one.set_result(answer)


def _told(error: Exception) -> Exception:
    if (
        isinstance(error, ResponseError)
        and not isinstance(error, _AWAY)
        and not _is_away(str(error))
    ):
        return error
    cause = error.args[0] if isinstance(error, _LostError) else error
    away = ReadModelUnavailableError(type(cause).__name__)
    away.__cause__ = cause
    return away


def _is_away(said: str) -> bool:
    """Tell whether a refusal speaks of the server's state; a script may put its own words first."""
    return said.startswith(_AWAY_WORDS) or any(f" -{word}" in said for word in _AWAY_WORDS)


def _encoded(arg: str | bytes | float) -> bytes:
    # Here and not in the pipeline, where one that cannot be sent would fail all others.
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, str):
        return arg.encode()
    if isinstance(arg, int | float) and not isinstance(arg, bool):
        return str(arg).encode()
    raise DataError(f"{type(arg).__name__} cannot be sent")
