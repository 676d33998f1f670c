"""How far each part is, for ``cinelog status``, ``/readyz`` and ``/metrics``."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import redis

from commands.errors import DiskFullError, EventStoreUnavailableError, ReadModelUnavailableError
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.state import LIVE, ROW_FORMAT, event_time
from projections.keys import LEASE
from projections.redis_client import open_redis
from service.settings import Settings

UNAVAILABLE = "unavailable"
OTHER_LOG = "another log"
"""The event store answers, but it holds another log than the one that was served."""
NO_ROOM = "no room"
"""What is stored can be read, but nothing can be written: its file system is full."""
DAMAGED = "damaged"
"""The event store takes no writes, since not all of it is what was written."""
Status = dict[str, dict[str, Any]]
NO_READ_MODEL: Status = {"read_model": {"state": UNAVAILABLE}, "projection": {"active": False}}
NO_EVENT_STORE: Status = {"event_store": {"state": UNAVAILABLE}}


def status_of(settings: Settings, store: Store) -> Status:
    """Return part → facts. A part that is away has the state ``unavailable``."""
    # First how far the read model is, then how far the log: so it never seems to be ahead.
    shown = read_model_status(settings)
    stored = event_store_status(settings, store, shown["read_model"])
    return {"event_store": stored["event_store"], **shown, "read_model": stored["read_model"]}


def read_model_status(settings: Settings) -> Status:
    """Return what Redis knows: of the read model, and whether a projection is at work."""
    try:
        client = open_redis(settings.redis_url_or_embedded, retries=0)
    except ReadModelUnavailableError:
        return NO_READ_MODEL
    try:
        return {
            "read_model": _read_model(client),
            "projection": {"active": bool(client.exists(LEASE))},
        }
    except redis.RedisError:
        return NO_READ_MODEL
    finally:
        client.close()


def event_store_status(settings: Settings, store: Store, read_model: dict[str, Any]) -> Status:
    """Return what the event store knows, and how far ``read_model`` is behind it."""
    kind = settings.event_store_url.partition(":")[0]
    about: dict[str, Any] = {"kind": kind}
    try:
        about["version"] = store.database_version
        position, events = store.head(), store.count()
        if "position" in read_model:
            read_model = read_model | {
                "events_missing": events - read_model["events_applied"],
                "lag_events": max(0, position - read_model["position"]),
                "lag_seconds": _lag_s(store, read_model["position"]),
            }
    except EventStoreUnavailableError:
        about["state"] = DAMAGED if store.damage.reason else UNAVAILABLE
    else:
        about |= {"state": _writable(store), "position": position, "events": events}
        identity = store.continuity.identity or store.read_identity()
        if identity:
            about["log"] = str(identity)
        if store.continuity.replaced:
            about["state"] = OTHER_LOG
    if damage := store.damage.reason:
        about |= {"state": DAMAGED, "damage": damage}
    return {"event_store": about, "read_model": read_model}


def _writable(store: Store) -> str:
    """Return the state of a store that can be read."""
    try:
        store.check_writable()
        store.check_disk_space()
    except DiskFullError:
        return NO_ROOM
    except EventStoreUnavailableError:
        return UNAVAILABLE
    return "ok"


def _read_model(client: Any) -> dict[str, Any]:
    live = lifecycle.live_generation(client)
    head = live.read_state() if live else None
    if live is None or head is None:
        return {"state": "not built"}
    return {
        "state": NO_ROOM if head.state == LIVE and _cannot_write(client) else head.state,
        "generation": live.number,
        "format": head.format,
        "format_expected": ROW_FORMAT,
        "position": head.position,
        "events_applied": head.events,
        "parked": head.parked,
        "dropped": head.dropped,
    }


def _cannot_write(client: Any) -> bool:
    """Tell whether Redis refuses writes because its own file could not be written."""
    try:
        said = client.info("persistence")
    except redis.ResponseError:  # a server that does not tell
        return False
    return bool(said.get("aof_enabled")) and said.get("aof_last_write_status") == "err"


def _lag_s(store: Store, position: int) -> float:
    """Return for how long the first event that is not shown has been stored."""
    waiting = store.read(position, 1)
    if not waiting:
        return 0.0
    with suppress(ValueError):  # one that does not say when it happened
        stored = datetime.fromisoformat(event_time(waiting[0]))
        return round(max(0.0, (datetime.now(UTC) - stored).total_seconds()), 3)
    return 0.0
