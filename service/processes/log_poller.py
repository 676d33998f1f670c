"""Polls the log once a second: an API process notices new epochs, and accounts that were closed."""

import asyncio
from contextlib import suppress

import structlog

from commands.errors import CinelogError
from commands.event_store.store import Store
from service.thread_pool import Pool

INTERVAL_S = 1.0
log = structlog.get_logger(__name__)


class LogPoller:
    """A task with a thread of its own: a store that hangs delays nothing else."""

    def __init__(self, store: Store, *, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        self._interval_s = interval_s
        self._thread = Pool("polling the log", threads=1, waiting=1)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Poll once, then start polling. An unreachable store is tried again."""
        await self._poll()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._thread.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self._poll()

    async def _poll(self) -> None:
        with suppress(CinelogError):  # readiness and the requests report it
            try:
                await self._thread.run(self._read)
            except Exception as error:
                if isinstance(error, CinelogError):
                    raise
                log.warning("log poller", error=f"{type(error).__name__}: {error}")

    def _read(self) -> None:
        self._store.continuity.refresh()
        self._store.accounts.follow()
