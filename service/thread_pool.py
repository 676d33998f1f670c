"""Threads for work that would hold up the event loop, with a bound on how much may wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

from commands.errors import BusyError

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """``threads`` calls run at a time, at most ``waiting`` more wait for their turn."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        self.pending = 0
        self._limit = threads + waiting
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``function`` returns. Raises BusyError, at once, where too many wait."""
        with self._lock:
            if self.pending >= self._limit:
                raise BusyError(f"too many requests wait for {self.name}")
            self.pending += 1
        try:
            call = partial(copy_context().run, partial(function, *args, **kwargs))
            work: Future[T] = self._executor.submit(call)
        except BaseException:
            self._done()
            raise
        # Counted until the thread is free again: a caller that gives up does not stop its work.
        work.add_done_callback(self._done)
        return await asyncio.wrap_future(work)

    def _done(self, _: Future[T] | None = None) -> None:
        with self._lock:
            self.pending -= 1

    def close(self) -> None:
        """Drop what waits and end once what runs is done."""
        self._executor.shutdown(wait=True, cancel_futures=True)
