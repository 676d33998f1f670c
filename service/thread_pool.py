"""Thread pools with a bounded queue, for work that would block the event loop."""

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
    """Runs ``threads`` calls at a time; at most ``waiting`` more are queued."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        self.pending = 0
        self._limit = threads + waiting
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of ``function``. Raises BusyError at once if the queue is full."""
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
        # Counted until the thread is free: a caller that is cancelled does not stop its work.
        work.add_done_callback(self._done)
        return await asyncio.wrap_future(work)

    def _done(self, _: Future[T] | None = None) -> None:
        with self._lock:
            self.pending -= 1

    def close(self) -> None:
        """Drop queued calls, and wait for running ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)
