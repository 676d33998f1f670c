"""Looks at the log once a second, so that an API process notices another epoch without writing."""

import asyncio
from contextlib import suppress

import structlog

from commands.errors import CinelogError
from commands.event_store.continuity import Continuity
from service.thread_pool import Pool

LOOK_S = 1.0
log = structlog.get_logger(__name__)


class LogPoller:
    """One loop and one thread: a store that hangs holds up nobody else."""

    def __init__(self, continuity: Continuity, *, look_s: float = LOOK_S) -> None:
        self._continuity = continuity
        self._look_s = look_s
        self._thread = Pool("watching the log", threads=1, waiting=1)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look for the first time, then again and again; a store that is away is tried again."""
        await self._look()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._thread.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            await self._look()

    async def _look(self) -> None:
        with suppress(CinelogError):  # readiness and the calls that need the store tell of it
            try:
                await self._thread.run(self._continuity.refresh)
            except Exception as error:
                if isinstance(error, CinelogError):
                    raise
                log.warning("log watch", error=f"{type(error).__name__}: {error}")
