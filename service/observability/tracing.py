"""OpenTelemetry spans for requests that come with a trace: command, append, projection.

They need the extra ``cinelog[otel]`` and ``OTEL_EXPORTER_OTLP_ENDPOINT``; otherwise nothing of
OpenTelemetry is imported. Spans are made after the fact, from the batches that the executor and the
projection report, so no context is passed through the code. The command and the projection are
children of the caller's span, the append is a child of its command.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from commands.event_store.event_codec import RecordedEvent
from commands.execution.executor import CommittedBatch
from commands.execution.group_commit import CommandResult
from service.web.trace_context import Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AnyValue

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LAST_S = 0.5


class Tracing:
    """Sends the spans of one process, as OpenTelemetry's settings (``OTEL_*``) say."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("cinelog")

    @classmethod
    def open(cls, part: str) -> "Tracing | None":
        """Return the tracing of a part of the service, None if it is not set up."""
        if not any(map(os.environ.get, ENDPOINTS)):
            return None
        with suppress(ImportError):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

            resource = Resource.create({"service.name": "cinelog", "cinelog.part": part})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            return cls(provider)
        return None

    def committed(self, batch: CommittedBatch) -> None:
        """Record the commands of a batch and the transaction that stored them."""
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

        for command, answer in zip(batch.commands, batch.results, strict=True):
            trace = Trace.of_request_id(command.request_id)
            if trace is None:
                continue
            name = type(command).__name__
            span = self._tracer.start_span(
                name, _above(trace), start_time=min(_ns(command.at.timestamp()), batch.began_ns)
            )
            if isinstance(answer, CommandResult):
                facts: dict[str, AnyValue] = {
                    "cinelog.commands": len(batch.commands),
                    "cinelog.events": answer.events,
                    "cinelog.position": answer.position,
                }
                inner = set_span_in_context(span)
                append = self._tracer.start_span(
                    "append", inner, attributes=facts, start_time=batch.began_ns
                )
                append.end(batch.ended_ns)
            else:
                span.set_attribute("error.type", type(answer).__name__)
            span.end(batch.ended_ns)

    def applied(self, events: Sequence[RecordedEvent], began_ns: int) -> None:
        """Record events that the projection applied."""
        ended_ns = time.time_ns()
        for event in events:
            trace = Trace.of_request_id(event.data.get("request_id") or "")
            if trace is not None:
                facts: dict[str, AnyValue] = {
                    "cinelog.position": event.position,
                    "cinelog.event": event.type,
                }
                span = self._tracer.start_span(
                    "project", _above(trace), attributes=facts, start_time=began_ns
                )
                span.end(ended_ns)

    def close(self) -> None:
        """Send the remaining spans, for ``LAST_S`` at most."""
        sending = Thread(target=self._provider.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(LAST_S)


def _above(trace: Trace) -> "Context":
    from opentelemetry.trace import (  # noqa: PLC0415
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    caller = SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(caller))


def _ns(at_s: float) -> int:
    return int(at_s * 1e9)
