"""The operators' paths, at the root: ``/livez``, ``/readyz`` and ``/metrics``.

They are open, so that a probe needs no account: a proxy should not forward them.
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sanic import Blueprint, Request

from service.container import container_of
from service.observability.status import UNAVAILABLE, Status, is_usable
from service.openapi import examples, tags
from service.openapi.model import Answer, Operation
from service.web.representations import root as representations
from service.web.response import HTTPResponse, json_response

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
    ("backup", "age_seconds", "backup_age_seconds", "Age of the last good backup."),
    ("backup", "position", "backup_position", "Last position of the last good backup."),
    ("backup", "failed", "backup_failed", "Whether the latest attempt at a backup failed."),
)


class _StatusCollector(Collector):
    """The status of the parts as metrics, which belong to no single worker."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[GaugeMetricFamily]:
        status, facts = self._status, self._status.as_dict()
        up = GaugeMetricFamily("cinelog_up", "Whether a part answers.", labels=["part"])
        up.add_metric(["event_store"], is_usable(status.event_store))
        up.add_metric(["read_model"], is_usable(status.read_model))
        yield up
        for part, fact, name, about in _GAUGES:
            if fact in facts[part]:
                yield GaugeMetricFamily(f"cinelog_{name}", about, facts[part][fact])
        events, missing = status.event_store.events, status.read_model.events_missing
        if missing is not None:
            complete = 1 - missing / events if events else 1.0
            about = "Events applied to the read model, of those stored."
            yield GaugeMetricFamily("cinelog_read_model_completeness", about, complete)


@blueprint.get("/livez", name="livez", ctx_open=True)
@Operation(
    id="isAlive",
    tag=tags.OPERATORS,
    summary="Liveness probe",
    about="Answers 200 while the process serves.",
    answers={200: Answer("The process serves.", representations.Alive, example={"status": "ok"})},
    slash=False,
    limited=False,
)
async def livez(request: Request) -> HTTPResponse:  # noqa: ARG001 - Sanic gives it
    """Answer 200 while this process serves."""
    return _answer({"status": "ok"})


@blueprint.get("/readyz", name="readyz", ctx_open=True)
@Operation(
    id="isReady",
    tag=tags.OPERATORS,
    summary="Readiness probe",
    about="Reports the state of each part; 503 while a part that requests need is unavailable.",
    answers={
        200: Answer("All answer.", representations.Readiness, example=examples.READY),
        503: Answer(
            "A part is unreachable; some requests are refused.",
            representations.Readiness,
            example=examples.UNREADY,
        ),
    },
    slash=False,
    limited=False,
)
async def readyz(request: Request) -> HTTPResponse:
    """Answer the status of each part; 503 while some requests cannot be served.

    A projection that lags is shown, but is no reason for a 503.
    """
    status = await container_of(request).telemetry.health.status()
    ready = is_usable(status.event_store) and is_usable(status.read_model)
    facts = status.as_dict()
    read_model = facts["read_model"]
    body = {
        "status": "ready" if ready else UNAVAILABLE,
        "event_store": _pick(facts["event_store"], "state", "damage", "log", "position"),
        "read_model": _pick(read_model, "state", "position", "parked", "format", "format_expected"),
        "projection": {
            "state": "active" if status.projection.active else "stopped",
            **_pick(read_model, "lag_events", "lag_seconds"),
        },
    }
    if "failed" in facts["backup"]:
        state = "failed" if facts["backup"]["failed"] else "ok"
        body["backup"] = {"state": state, **_pick(facts["backup"], "position", "age_seconds")}
    return _answer(body, 200 if ready else 503)


@blueprint.get("/metrics", name="metrics", ctx_open=True)
@Operation(
    id="readMetrics",
    tag=tags.OPERATORS,
    summary="Read the metrics",
    about="The sums over all API processes, in the Prometheus text format.",
    answers={200: Answer("The metrics.", str, media="text/plain", example="cinelog_up 1\n")},
    slash=False,
    limited=False,
)
async def metrics(request: Request) -> HTTPResponse:
    """Answer the sums over all workers in Prometheus' text format."""
    telemetry = container_of(request).telemetry
    status = await telemetry.health.status()
    telemetry.request_log.flush()
    telemetry.metrics.sample()
    text = telemetry.metrics.text(_StatusCollector(status))
    return HTTPResponse(
        text, headers=_NO_STORE, content_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _pick(part: dict[str, Any], *facts: str) -> dict[str, Any]:
    return {name: part[name] for name in facts if name in part}


def _answer(body: dict[str, Any], status: int = 200) -> HTTPResponse:
    return json_response(body, status, _NO_STORE)
