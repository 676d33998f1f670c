"""Work nobody waits for: kept until it is done, so that none is lost and none is left behind."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from commands.errors import UnavailableError

log = structlog.get_logger(__name__)


class Background:
    """Runs coroutines whose result does not matter to whoever started them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run ``work``."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error and not isinstance(error, UnavailableError):
            log.error("background work failed", exc_info=error)

    async def close(self, timeout_s: float = 1.0) -> None:
        """Wait for what runs, then end it."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
