"""How far each part is, for ``cinelog status``, ``/readyz`` and ``/metrics``."""

from datetime import UTC, datetime
from typing import Any

import redis

from commands.errors import EventStoreUnavailableError, ReadModelUnavailableError
from commands.store import Store
from projections import generations
from projections.connection import open_redis
from projections.keys import LEASE
from projections.view import View
from service.settings import Settings

UNAVAILABLE = "unavailable"


def state_of(settings: Settings, store: Store) -> dict[str, dict[str, Any]]:
    """Return part → facts. A part that is away has the state ``unavailable``."""
    event_store: dict[str, Any] = {"kind": settings.event_store_url.partition(":")[0]}
    # First how far the read model is, then how far the log: so it never seems to be ahead.
    read_model, projection = _redis_parts(settings)
    try:
        position, events = store.head(), store.count()
        event_store |= {"state": "ok", "position": position, "events": events}
        if "position" in read_model:
            read_model |= {
                "events_missing": events - read_model["events_applied"],
                "lag_events": max(0, position - read_model["position"]),
                "lag_seconds": _lag_s(store, read_model["position"]),
            }
    except EventStoreUnavailableError:
        event_store["state"] = UNAVAILABLE
    return {"event_store": event_store, "read_model": read_model, "projection": projection}


def _redis_parts(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        client = open_redis(settings.redis_url_or_embedded)
    except ReadModelUnavailableError:
        return {"state": UNAVAILABLE}, {"active": False}
    try:
        return _read_model(client), {"active": bool(client.exists(LEASE))}
    except redis.RedisError:
        return {"state": UNAVAILABLE}, {"active": False}
    finally:
        client.close()


def _read_model(client: Any) -> dict[str, Any]:
    number = generations.live(client)
    view = View(client, number) if number is not None else None
    head = view.head() if view else None
    if view is None or head is None:
        return {"state": "not built"}
    return {
        "state": head.state,
        "generation": number,
        "position": head.position,
        "events_applied": head.events,
        "parked": client.execute_command("HLEN", view.keys.parked),
    }


def _lag_s(store: Store, position: int) -> float:
    """Return for how long the first event that is not shown has been stored."""
    waiting = store.read(position, 1)
    if not waiting:
        return 0.0
    stored = datetime.fromisoformat(waiting[0].data["timestamp"])
    return round(max(0.0, (datetime.now(UTC) - stored).total_seconds()), 3)
