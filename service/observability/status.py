"""The status of the event store, the read model and the projection.

``cinelog status``, ``/readyz`` and ``/metrics`` show it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import redis

from commands.database.breaker import Breaker
from commands.errors import (
    BusyError,
    DiskFullError,
    EventStoreUnavailableError,
    ReadModelUnavailableError,
)
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.state import LIVE, OTHER_FORMAT, ROW_FORMAT, event_time
from projections.keys import lease_of
from projections.rebuild.progress import running_rebuild
from projections.redis_client import open_redis
from service.data_dir import METRICS
from service.last_backup import BackupStatus, read_last_backup
from service.observability.metrics import DISK_FULL, MIRROR_BYTES, sum_of_gauge
from service.settings import Settings
from service.thread_pool import Pool

UNAVAILABLE = "unavailable"
OTHER_LOG = "another log"
"""The event store answers, but holds another log than the one that was served."""
NO_ROOM = "no room"
"""Reads work, writes fail: the file system is full."""
DAMAGED = "damaged"
"""The event store refuses writes because a part of it is damaged."""
CACHE_S = 1.0
TIMEOUT_S = 1.0
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EventStoreStatus:
    """The state of the event store. Fields that are not known are None."""

    kind: str | None = None
    version: str | None = None
    state: str = UNAVAILABLE
    position: int | None = None
    events: int | None = None
    log: str | None = None
    damage: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReadModelStatus:
    """The state of the live generation, and how far it is behind. Unknown fields are None."""

    state: str = UNAVAILABLE
    generation: int | None = None
    format: int | None = None
    format_expected: int | None = None
    position: int | None = None
    events_applied: int | None = None
    parked: int | None = None
    dropped: int | None = None
    events_missing: int | None = None
    lag_events: int | None = None
    lag_seconds: float | None = None
    mirror_bytes: int | None = None
    """Memory of the records that lists search, of all API processes of this data directory."""


@dataclass(frozen=True)
class ProjectionStatus:
    """Whether a projection is running."""

    active: bool = False


@dataclass(frozen=True, kw_only=True)
class RebuildStatus:
    """How far the running rebuild is, whoever started it. Fields are None if none is running."""

    phase: str | None = None
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Status:
    """The status of all parts."""

    event_store: EventStoreStatus = EventStoreStatus()
    read_model: ReadModelStatus = ReadModelStatus()
    projection: ProjectionStatus = ProjectionStatus()
    rebuild: RebuildStatus = RebuildStatus()
    backup: BackupStatus = field(default_factory=BackupStatus)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return part → facts, without those that are not known."""
        return {
            part: {name: value for name, value in facts.items() if value is not None}
            for part, facts in asdict(self).items()
        }


class _RedisFacts(NamedTuple):
    """What Redis knows."""

    read_model: ReadModelStatus = ReadModelStatus()
    projection: ProjectionStatus = ProjectionStatus()
    rebuild: RebuildStatus = RebuildStatus()
    backup: BackupStatus = BackupStatus()


def is_usable(part: EventStoreStatus | ReadModelStatus) -> bool:
    """Return whether requests that need this part can be served."""
    # Lists of another release's row format are served until the generation is rebuilt.
    return part.state in ("ok", LIVE, OTHER_FORMAT)


def status_of(settings: Settings, store: Store) -> Status:
    """Return the status of all parts."""
    # First the read model, then the log: the read model never seems to be ahead of it.
    known = _redis_facts(settings)
    event_store, read_model = _event_store_status(settings, store, known.read_model)
    return Status(event_store, *known._replace(read_model=read_model))


class HealthCheck:
    """The status of all parts, looked up at most once in ``CACHE_S``.

    Each part is asked on a thread of its own, so that one that hangs does not hide the other. A
    part that is known to be unreachable is not asked.
    """

    def __init__(self, settings: Settings, store: Store, read_model: Breaker) -> None:
        self._settings = settings
        self._read_model = read_model
        self._store = store
        self._redis_thread = Pool("looking at Redis", threads=1, waiting=0)
        self._store_thread = Pool("looking at the event store", threads=1, waiting=0)
        self._check: asyncio.Task[Status] | None = None
        self._valid_until = 0.0

    async def status(self) -> Status:
        """Return the status of all parts, within twice ``TIMEOUT_S``."""
        if self._check is None or (self._check.done() and time.monotonic() >= self._valid_until):
            self._check = asyncio.get_running_loop().create_task(self._ask_all())
        return await asyncio.shield(self._check)

    async def _ask_all(self) -> Status:
        settings, store = self._settings, self._store
        known = _RedisFacts()
        if not self._read_model.is_open:
            known = await _ask(self._redis_thread, known, lambda: _redis_facts(settings))
        event_store, read_model = await _ask(
            self._store_thread,
            (EventStoreStatus(), known.read_model),
            lambda: _event_store_status(settings, store, known.read_model),
        )
        self._valid_until = time.monotonic() + CACHE_S
        return Status(event_store, *known._replace(read_model=read_model))

    def close(self) -> None:
        """End the threads."""
        self._redis_thread.close()
        self._store_thread.close()


async def _ask(pool: Pool, unknown: T, ask: Callable[[], T]) -> T:
    """Return ``unknown`` if the answer takes too long, now or still since the last time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await pool.run(ask)
    except (TimeoutError, BusyError):
        return unknown


def _redis_facts(settings: Settings) -> _RedisFacts:
    """Return what Redis knows."""
    unknown = _RedisFacts()
    try:
        client = open_redis(settings.redis_url_or_embedded, retries=0)
    except ReadModelUnavailableError:
        return unknown
    try:
        mirror_bytes = _sum_of_gauge(settings, MIRROR_BYTES)
        status = replace(_live_generation(client), mirror_bytes=mirror_bytes)
        progress = running_rebuild(client)
        rebuild = RebuildStatus(**progress._asdict()) if progress else RebuildStatus()
        active = ProjectionStatus(active=bool(client.exists(lease_of(ROW_FORMAT))))
        backup = read_last_backup(client).status() if settings.backup_url else BackupStatus()
        return _RedisFacts(status, active, rebuild, backup)
    except redis.RedisError:
        return unknown
    finally:
        client.close()


def _event_store_status(
    settings: Settings, store: Store, read_model: ReadModelStatus
) -> tuple[EventStoreStatus, ReadModelStatus]:
    """Return what the event store knows, and how far the read model is behind it."""
    status = EventStoreStatus(kind=settings.event_store_url.partition(":")[0])
    try:
        status = replace(status, version=store.database_version)
        position, events = store.head(), store.count()
        if read_model.position is not None:
            read_model = replace(
                read_model,
                events_missing=events - (read_model.events_applied or 0),
                lag_events=max(0, position - read_model.position),
                lag_seconds=_lag_s(store, read_model.position),
            )
    except EventStoreUnavailableError:
        pass
    else:
        identity = store.continuity.identity or store.read_identity()
        status = replace(
            status,
            state=OTHER_LOG if store.continuity.replaced else _writable(settings, store),
            position=position,
            events=events,
            log=str(identity) if identity else None,
        )
    if damage := store.damage.reason:
        status = replace(status, state=DAMAGED, damage=damage)
    return status, read_model


def _writable(settings: Settings, store: Store) -> str:
    """Return the state of a readable store, as the API processes of this machine know it."""
    try:
        store.check_writable()
        store.check_disk_space()
    except DiskFullError:
        return NO_ROOM
    except EventStoreUnavailableError:
        return UNAVAILABLE
    # This process may not have appended anything since the disk of PostgreSQL is full.
    return NO_ROOM if _sum_of_gauge(settings, DISK_FULL) else "ok"


def _live_generation(client: Any) -> ReadModelStatus:
    live = lifecycle.live_generation(client)
    state = live.read_state() if live else None
    if live is None or state is None:
        return ReadModelStatus(state="not built")
    return ReadModelStatus(
        state=NO_ROOM if state.state == LIVE and _cannot_write(client) else state.state,
        generation=live.number,
        format=state.format,
        format_expected=ROW_FORMAT,
        position=state.position,
        events_applied=state.events,
        parked=state.parked,
        dropped=state.dropped,
    )


def _sum_of_gauge(settings: Settings, name: str) -> int | None:
    return sum_of_gauge(settings.data_dir / METRICS, f"cinelog_{name}")


def _cannot_write(client: Any) -> bool:
    """Return whether Redis refuses writes because its own file could not be written."""
    try:
        info = client.info("persistence")
    except redis.ResponseError:  # a server without this command
        return False
    return bool(info.get("aof_enabled")) and info.get("aof_last_write_status") == "err"


def _lag_s(store: Store, position: int) -> float:
    """Return the age of the first event that is not applied."""
    waiting = store.read(position, 1)
    if not waiting:
        return 0.0
    with suppress(ValueError):  # an event without a valid time
        stored = datetime.fromisoformat(event_time(waiting[0]))
        return round(max(0.0, (datetime.now(UTC) - stored).total_seconds()), 3)
    return 0.0
