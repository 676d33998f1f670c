"""Shared calls: one at a time, each for all that waited when it began."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from commands.errors import CinelogError, ReadModelUnavailableError
from queries.mirror.record_reader import GoneError

_IDS_AT_ONCE = 2_000


class _Waiting(NamedTuple):
    ids: Sequence[str]
    done: "asyncio.Future[None]"


class SharedCalls:
    """Calls of ``call`` with the ids that the waiting ask for, each once. For one event loop."""

    def __init__(self, call: Callable[[list[str]], Awaitable[None]]) -> None:
        self._call = call
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    async def join(self, ids: Sequence[str]) -> None:
        """Return at the end of a call that began after this one. Raises what it raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(ids, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await done

    async def close(self) -> None:
        """Stop; who waits gets GoneError."""
        if (running := self._running) is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _run(self) -> None:
        waiting: list[_Waiting] = []
        try:
            while self._waiting:
                ids: dict[str, None] = {}
                while self._waiting and len(ids) < _IDS_AT_ONCE:
                    waiting.append(self._waiting.pop(0))
                    ids.update(dict.fromkeys(waiting[-1].ids))
                outcome: CinelogError | None = None
                try:
                    await self._call(list(ids))
                except Exception as error:  # noqa: BLE001 - each caller gets it
                    outcome = error if isinstance(error, CinelogError) else _failed(error)
                for one in waiting:
                    _settle(one.done, outcome)
                waiting.clear()
        finally:
            self._running = None
            for one in waiting + self._waiting:  # this task was cancelled
                _settle(one.done, GoneError("it is being closed"))
            self._waiting.clear()


def _settle(done: "asyncio.Future[None]", error: Exception | None) -> None:
    if done.done():  # the caller is gone
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _failed(error: BaseException) -> CinelogError:
    failure = ReadModelUnavailableError(type(error).__name__)
    failure.__cause__ = error
    return failure
