"""How far each part is, for whoever asks at any time, and at little cost."""

import asyncio
import time
from collections.abc import Callable

from commands.database.breaker import Breaker
from commands.errors import BusyError
from commands.event_store.store import Store
from service.observability.status import (
    NO_EVENT_STORE,
    NO_READ_MODEL,
    Status,
    event_store_status,
    read_model_status,
)
from service.settings import Settings
from service.thread_pool import Pool

KEPT_S = 1.0
PATIENCE_S = 1.0


class Health:
    """How far each part is, looked up at most once in ``KEPT_S`` whoever asks.

    Each part is asked on a thread of its own, so that one that hangs hides no other. One that is
    known to be away is not asked.
    """

    def __init__(self, settings: Settings, store: Store, read_model: Breaker) -> None:
        self._settings = settings
        self._read_model = read_model
        self._store = store
        self._redis_thread = Pool("looking at Redis", threads=1, waiting=0)
        self._store_thread = Pool("looking at the event store", threads=1, waiting=0)
        self._asking: asyncio.Task[Status] | None = None
        self._until = 0.0

    async def state(self) -> Status:
        """Return part → facts, as ``state_of`` does, after twice ``PATIENCE_S`` at the latest."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._until):
            self._asking = asyncio.get_running_loop().create_task(self._look())
        return await asyncio.shield(self._asking)

    async def _look(self) -> Status:
        settings, store = self._settings, self._store
        shown = NO_READ_MODEL
        if not self._read_model.is_open:
            shown = await _ask(
                self._redis_thread, NO_READ_MODEL, lambda: read_model_status(settings)
            )
        read_model = shown["read_model"]
        stored = await _ask(
            self._store_thread,
            NO_EVENT_STORE,
            lambda: event_store_status(settings, store, read_model),
        )
        self._until = time.monotonic() + KEPT_S
        return shown | stored

    def close(self) -> None:
        """End the threads."""
        self._redis_thread.close()
        self._store_thread.close()


async def _ask(pool: Pool, unknown: Status, look: Callable[[], Status]) -> Status:
    """Return ``unknown`` for what takes too long, now or still since the time before."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await pool.run(look)
    except (TimeoutError, BusyError):
        return unknown
