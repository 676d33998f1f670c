"""How far each part is, for ``cinelog status``."""

from datetime import UTC, datetime
from typing import Any

import redis

from commands.store import Store
from projections import generations
from projections.connection import open_redis
from projections.keys import LEASE
from projections.view import View
from service.settings import Settings


def state_of(settings: Settings, store: Store) -> dict[str, dict[str, Any]]:
    """Return part → facts. A read model that is away has the state ``unavailable``."""
    position, events = store.head(), store.count()
    state: dict[str, dict[str, Any]] = {
        "event_store": {
            "kind": settings.event_store_url.partition(":")[0],
            "position": position,
            "events": events,
        }
    }
    client = open_redis(settings.redis_url_or_embedded)
    try:
        state["read_model"] = _read_model(client, position, events)
        state["projection"] = {"active": bool(client.exists(LEASE))}
    except redis.RedisError:
        state["read_model"] = {"state": "unavailable"}
        state["projection"] = {"active": False}
    finally:
        client.close()
    return state


def _read_model(client: Any, position: int, events: int) -> dict[str, Any]:
    number = generations.live(client)
    head = View(client, number).head() if number is not None else None
    if head is None:
        return {"state": "not built"}
    behind = position - head.position
    return {
        "state": head.state,
        "generation": number,
        "position": head.position,
        "events_applied": head.events,
        "events_missing": events - head.events,
        "lag_events": behind,
        "lag_seconds": _age_s(head.at) if behind and head.at else 0.0,
    }


def _age_s(at: str) -> float:
    return round((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds(), 3)
