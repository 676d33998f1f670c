"""Traces: a trace continues from the request and its command into the read model."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.running import Cinelog, eventually

collector = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


@contextmanager
def run_collector():
    """Run a span collector; yield its URL and the list of received (part, span) pairs."""
    spans = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            sent = collector.ExportTraceServiceRequest.FromString(body)
            for resource in sent.resource_spans:
                facts = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    spans.extend((facts["cinelog.part"], span) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_trace_continues_from_the_command_into_the_read_model(tmp_path, monkeypatch):
    with run_collector() as (url, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with Cinelog(tmp_path / "var") as service:
            ann = service.account("ann")
            made = ann.post("/movies/", json=ALIEN, headers=TRACEPARENT)
            assert made.status_code == 201
            assert ann.post("/movies/", json=ALIEN).status_code == 201
            eventually(lambda: len(spans) >= 3)
        found = {span.name: (part, span) for part, span in spans}
    assert found.keys() == {"CreateMovie", "append", "project"}
    assert all(span.trace_id.hex() == TRACE for _, span in spans)
    (api, command), (_, append), (projection, project) = (
        found[name] for name in ("CreateMovie", "append", "project")
    )
    assert (api, projection) == ("api", "projection")
    assert command.parent_span_id.hex() == project.parent_span_id.hex() == CALLER
    assert append.parent_span_id == command.span_id
    assert command.start_time_unix_nano <= append.start_time_unix_nano
    assert append.start_time_unix_nano < append.end_time_unix_nano < project.end_time_unix_nano
    position = int(made.headers["event-position"])
    for span in (append, project):
        assert ("cinelog.position", position) in {
            (fact.key, fact.value.int_value) for fact in span.attributes
        }


def test_an_unresponsive_collector_does_not_block(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with Cinelog(tmp_path / "var") as service:
        ann = service.account("ann")
        for _ in range(5):
            assert ann.post("/movies/", json=ALIEN, headers=TRACEPARENT).status_code == 201
        assert service.stop(timeout_s=5) == 0


@pytest.mark.parametrize("missing", ["the endpoint", "the extra"])
def test_without_endpoint_or_extra_opentelemetry_is_not_imported(monkeypatch, missing):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "" if missing == "the endpoint" else "http://x"
    )
    hidden = "sys.modules['opentelemetry.exporter'] = None;" if missing == "the extra" else ""
    script = (
        f"import sys; {hidden} from service.observability.tracing import Tracing;"
        "assert Tracing.open('api') is None;"
        "assert not any(name.startswith('opentelemetry.sdk') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
