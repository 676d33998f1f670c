"""The operators' paths, at the root: ``/livez``, ``/readyz`` and ``/metrics``.

They are open, so that a probe needs no account: a proxy should not forward them.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sanic import Blueprint, Request

from projections.generation.state import LIVE, OTHER_FORMAT
from service.container import container_of
from service.observability.status import UNAVAILABLE, Status
from service.web.response import HTTPResponse

blueprint = Blueprint("operations")
_NO_STORE = {"Cache-Control": "no-store"}
_GAUGES = (
    ("event_store", "position", "event_store_position", "Last position of the log."),
    ("event_store", "events", "event_store_events", "Events stored."),
    ("read_model", "position", "read_model_position", "Position that the read model shows."),
    ("read_model", "events_applied", "read_model_events", "Events applied to the read model."),
    ("read_model", "generation", "read_model_generation", "Number of the live generation."),
    ("read_model", "parked", "parked_movies", "Movies whose events could not be applied."),
    ("read_model", "dropped", "dropped_movies", "Parked movies that were given up."),
    ("read_model", "lag_events", "projection_lag_events", "Positions not shown yet."),
    ("read_model", "lag_seconds", "projection_lag_seconds", "Age of the first event not shown."),
    ("projection", "active", "projection_active", "Whether a projection is at work."),
)


class _StateCollector(Collector):
    """The state of the parts as metrics; they are not any one worker's."""

    def __init__(self, state: Status) -> None:
        self._state = state

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = self._state
        up = GaugeMetricFamily("cinelog_up", "Whether a part answers.", labels=["part"])
        up.add_metric(["event_store"], _answers(state["event_store"]))
        up.add_metric(["read_model"], _answers(state["read_model"]))
        yield up
        for part, fact, name, about in _GAUGES:
            if (value := state[part].get(fact)) is not None:
                yield GaugeMetricFamily(f"cinelog_{name}", about, value)
        events, missing = (
            state["event_store"].get("events"),
            state["read_model"].get("events_missing"),
        )
        if missing is not None:
            whole = 1 - missing / events if events else 1.0
            about = "Events applied to the read model, of those stored."
            yield GaugeMetricFamily("cinelog_read_model_completeness", about, whole)


def _answers(part: dict[str, Any]) -> bool:
    # Of another release's format, lists are shown until they are built anew.
    return part["state"] in ("ok", LIVE, OTHER_FORMAT)


@blueprint.get("/livez", name="livez", ctx_open=True)
async def livez(request: Request) -> HTTPResponse:  # noqa: ARG001 - Sanic gives it
    """Tell that this process serves."""
    return _answer({"status": "ok"})


@blueprint.get("/readyz", name="readyz", ctx_open=True)
async def readyz(request: Request) -> HTTPResponse:
    """Tell how far each part is; 503 while some calls can only be refused for lack of one.

    A projection that lags is told, but refuses nobody.
    """
    state = await container_of(request).telemetry.health.state()
    ready = _answers(state["event_store"]) and _answers(state["read_model"])
    body = {
        "status": "ready" if ready else UNAVAILABLE,
        "event_store": _told(state["event_store"], "state", "damage", "log", "position"),
        "read_model": _told(
            state["read_model"], "state", "position", "parked", "format", "format_expected"
        ),
        "projection": {
            "state": "active" if state["projection"]["active"] else "stopped",
            **_told(state["read_model"], "lag_events", "lag_seconds"),
        },
    }
    return _answer(body, 200 if ready else 503)


@blueprint.get("/metrics", name="metrics", ctx_open=True)
async def metrics(request: Request) -> HTTPResponse:
    """Show the metrics of all workers added up, as Prometheus reads them."""
    telemetry = container_of(request).telemetry
    state = await telemetry.health.state()
    telemetry.ledger.settle()
    telemetry.metrics.sample()
    text = telemetry.metrics.text(_StateCollector(state))
    return HTTPResponse(
        text, headers=_NO_STORE, content_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _told(part: dict[str, Any], *facts: str) -> dict[str, Any]:
    return {name: part[name] for name in facts if name in part}


def _answer(body: dict[str, Any], status: int = 200) -> HTTPResponse:
    return HTTPResponse(
        orjson.dumps(body), status=status, headers=_NO_STORE, content_type="application/json"
    )
