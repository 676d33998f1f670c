"""Pipelining: one round trip to Redis for all commands that coroutines send at the same moment.

The commands of one turn of the event loop, and those sent while an earlier flush is under way, go
out as one pipeline. Each caller gets its own answer or error. Equal reads in a flush are sent once;
callers must not modify an answer. Where Redis does not answer, all waiting callers get an error at
once.
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
# In a larger pipeline the first commands would wait for the last.
_FLUSH = 512
_SHAREABLE = frozenset(
    {b"GET", b"HGET", b"HMGET", b"HGETALL", b"EXISTS", b"ZCARD", b"ZSCORE", b"TTL", b"PTTL"}
)
# Errors of the server's state, not of the command.
_UNAVAILABLE = (
    AskError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
REFUSES_WRITES = "MISCONF "
"""Prefix of the error of a Redis that cannot write its own file; reads still work."""
# Prefixes of such errors for which the client has no class, or a class that says too little.
_UNAVAILABLE_PREFIXES = (
    REFUSES_WRITES,
    *("BUSY ", "CLUSTERDOWN ", "LOADING ", "MASTERDOWN ", "NOAUTH ", "NOPERM ", "NOREPLICAS "),
    *("OOM ", "READONLY ", "TRYAGAIN ", "UNKILLABLE ", "WRONGPASS "),
)
# A flush that takes longer is given up.
_TIMEOUT_S = 1.5

_Args = tuple[bytes, ...]
_Waiting = list["asyncio.Future[Any]"]


class _LostError(Exception):
    """A flush was not answered; its argument is the cause."""


class RequestBatcher:
    """Sends commands in batches, for one event loop.

    The client sends a flush again if its connection breaks, so scripts must be safe to run twice.
    """

    def __init__(
        self, redis: Any, *, limit: int = MAX_WAITING, breaker: Breaker | None = None
    ) -> None:
        self._redis = redis
        self._breaker = breaker
        self._limit = limit
        self._shared: dict[_Args, _Waiting] = {}
        self._queue: list[tuple[_Args, _Waiting]] = []
        self._waiting = 0
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    async def call(self, *args: str | bytes | float) -> Any:
        """Return the answer to one command.

        Raises ReadModelUnavailableError where Redis is unavailable, BusyError where too many
        commands wait, and ResponseError where Redis refuses this command.
        """
        encoded = tuple(map(_encoded, args))
        return await self._enqueue(encoded, share=encoded[0].upper() in _SHAREABLE)

    async def script(
        self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | float] = ()
    ) -> Any:
        """Return the answer of a script. Raises what ``call`` raises."""
        encoded = (str(len(keys)).encode(), *map(_encoded, keys), *map(_encoded, args))
        try:
            return await self._enqueue(
                (b"EVALSHA", script.sha.encode(), *encoded), share=script.shareable
            )
        except NoScriptError:
            return await self._enqueue(
                (b"EVAL", script.text.encode(), *encoded), share=script.shareable
            )

    async def close(self) -> None:
        """Stop; callers that still wait get ReadModelUnavailableError."""
        self._closed = True
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])

    async def _enqueue(self, args: _Args, *, share: bool) -> Any:
        if self._closed:
            raise ReadModelUnavailableError("it is being closed")
        if self._breaker:
            self._breaker.check()
        if self._waiting >= self._limit:
            raise BusyError("too many reads wait")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not share:
            self._queue.append((args, [answer]))
        elif (callers := self._shared.get(args)) is not None:
            callers.append(answer)
        else:
            self._shared[args] = callers = [answer]
            self._queue.append((args, callers))
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush())
        self._waiting += 1
        try:
            return await answer
        finally:
            self._waiting -= 1

    async def _flush(self) -> None:
        flushed: list[tuple[_Args, _Waiting]] = []
        try:
            while self._queue:
                flushed = list(islice(self._queue, _FLUSH))
                del self._queue[: len(flushed)]
                for args, _ in flushed:
                    self._shared.pop(args, None)
                _answer(flushed, await self._send([args for args, _ in flushed]))
                flushed = []
                if self._breaker and self._breaker.is_open:
                    return
        finally:
            self._flusher = None
            # Redis is unavailable, or this task was cancelled: the rest gets no answer.
            left = flushed + self._queue
            self._queue, self._shared = [], {}
            _answer(left, [ConnectionAbortedError()] * len(left))

    async def _send(self, commands: list[_Args]) -> Sequence[Any]:
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for args in commands:
                # Not evalsha(): a cluster's pipeline forbids the method, though not the command.
                # The name is a str: the client looks up the command's node by it.
                pipeline.execute_command(args[0].decode(), *args[1:])
            async with asyncio.timeout(_TIMEOUT_S):
                answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            if self._breaker:
                self._breaker.trip(type(error).__name__)
            return [_LostError(error)] * len(commands)
        return answers


def _answer(flushed: list[tuple[_Args, _Waiting]], answers: Sequence[Any]) -> None:
    for (_, callers), answer in zip(flushed, answers, strict=True):
        for caller in callers:
            if caller.done():  # it was cancelled
                continue
            if isinstance(answer, Exception):
                caller.set_exception(_translated(answer))
            else:
                caller.set_result(answer)


def _translated(error: Exception) -> Exception:
    if isinstance(error, ResponseError) and not _is_unavailable(error):
        return error
    cause = error.args[0] if isinstance(error, _LostError) else error
    unavailable = ReadModelUnavailableError(type(cause).__name__)
    unavailable.__cause__ = cause
    return unavailable


def _is_unavailable(error: ResponseError) -> bool:
    """Return whether an error is one of the server's state; a script may prefix its own words."""
    text = str(error)
    return (
        isinstance(error, _UNAVAILABLE)
        or text.startswith(_UNAVAILABLE_PREFIXES)
        or any(f" -{prefix}" in text for prefix in _UNAVAILABLE_PREFIXES)
    )


def _encoded(arg: str | bytes | float) -> bytes:
    # Not in the pipeline, where an argument of another type would fail all commands.
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, str):
        return arg.encode()
    if isinstance(arg, int | float) and not isinstance(arg, bool):
        return str(arg).encode()
    raise DataError(f"{type(arg).__name__} cannot be sent")
