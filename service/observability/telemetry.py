"""Telemetry of an API process: metrics, request log, spans and health, opened together."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from commands.database.breaker import Breaker
from commands.errors import ConfigurationError
from commands.event_store.store import Store
from commands.execution.executor import CommittedBatch
from queries.mirror.mirrors import Mirrors
from service.data_dir import METRICS, VARIABLE
from service.observability.logs import current
from service.observability.metrics import DISK_FULL, MIRROR_BYTES, Metrics
from service.observability.request_log import RequestLogBuffer
from service.observability.status import HealthCheck
from service.observability.tracing import Tracing
from service.settings import Settings
from service.web.transport.server import Connection, answering

SAMPLE_S = 1.0


class Telemetry:
    """The metrics, the request log, the spans and the health of one API process."""

    def __init__(self, settings: Settings, store: Store, read_model: Breaker) -> None:
        folder = settings.data_dir / METRICS
        try:
            self.metrics = Metrics(folder)
        except OSError as error:
            problem = f"cannot write in {folder} ({error.strerror}); give this user the right"
            raise ConfigurationError(VARIABLE, problem) from None
        self.request_log = RequestLogBuffer(self.metrics, current())
        self.health = HealthCheck(settings, store, read_model)
        self._store = store
        self._spans = Tracing.open("api")
        self._sampling = asyncio.get_running_loop().create_task(self._sample())

    def watch(
        self,
        connections: Collection[Connection],
        redis: Any,
        mirrors: Mirrors,
        hashes_pending: Callable[[], int],
    ) -> None:
        """Add gauges of these to the metrics."""

        def redis_used() -> int:
            pool = getattr(redis, "connection_pool", None)  # a cluster has one for each node
            counts = pool.get_connection_count() if pool else []
            return sum(count for count, what in counts if "used" in what.values())

        watch = self.metrics.watch
        watch("workers", "API processes.", lambda: 1)
        watch("requests_in_flight", "Requests being answered.", lambda: answering(connections))
        watch("connections_open", "Connections of clients.", lambda: len(connections))
        watch("redis_connections_used", "Connections to Redis in use.", redis_used)
        full = "API processes whose last append found no space on disk, in the last 5 s."
        watch(DISK_FULL, full, lambda: self._store.found_disk_full)
        memory = "Memory of the records that lists search."
        watch(MIRROR_BYTES, memory, lambda: mirrors.memory_bytes)
        watch("mirror_loads", "How often the records were read as a whole.", lambda: mirrors.loads)
        watch("password_hashes_pending", "Passwords being hashed or waiting.", hashes_pending)
        self.metrics.sample()

    def committed(self, batch: CommittedBatch) -> None:
        """Record a batch of commands."""
        self.metrics.committed(batch)
        if self._spans:
            self._spans.committed(batch)

    async def _sample(self) -> None:
        """Update this process's gauges, which any process may be asked for."""
        while True:
            self.metrics.sample()
            await asyncio.sleep(SAMPLE_S)

    def close(self) -> None:
        """Write the remaining records, and close."""
        self._sampling.cancel()
        self.request_log.close()
        self.metrics.close()
        if self._spans:
            self._spans.close()
        self.health.close()  # last: it waits for a part that hangs
