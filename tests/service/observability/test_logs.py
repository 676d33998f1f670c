"""Log lines: one JSON line per request, without secrets."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from uuid import uuid4

import httpx
import pytest
from sanic.compat import Header
from structlog.testing import capture_logs

from commands.errors import NotFoundError
from service.observability import request_log
from service.observability.request_log import LineWriter
from service.web.problems import ProblemHandler
from service.web.request import CinelogRequest
from service.web.trace_context import Trace
from tests.running import COMMAND, PASSWORD, Cinelog, environment, eventually, free_port, run
from tests.service.processes.process_tree import Serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


def lines(service):
    """Return the JSON lines printed so far."""
    return [json.loads(line) for line in service.output().splitlines() if line.startswith("{")]


def line_of(service, request_id):
    def find():
        return [line for line in lines(service) if line.get("request_id") == request_id]

    (line,) = eventually(find)
    return line


def test_a_request_is_one_line(service, someone):
    name = uuid4().hex
    headers = {"X-Request-ID": name, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    made = someone.post("/movies/", json=ALIEN, headers=headers)
    line = line_of(service, name)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert 0 < line.pop("duration_ms") < 10_000
    assert line == {
        "event": "request",
        "level": "info",
        "method": "POST",
        "route": "/api/v1/movies",
        "status": 201,
        "request_id": name,
        "client": "127.0.0.0/24",
        "account": someone.account["id"],
        "position": int(made.headers["event-position"]),
        "trace_id": TRACE,
    }


def test_a_refused_request_is_logged(service):
    for path, route, status in (
        ("/api/v1/movies/", "/api/v1/movies", 401),
        (f"/api/v1/{uuid4()}/", "unmatched", 404),
    ):
        name = uuid4().hex
        answer = httpx.get(f"{service.url}{path}", headers={"X-Request-ID": name})
        assert answer.status_code == status
        line = line_of(service, name)
        assert (line["route"], line["status"]) == (route, status)
        assert not line.keys() & {"account", "position", "trace_id"}


def test_no_line_contains_a_secret(tmp_path):
    secrets = [PASSWORD, "ann@example.org", "wanda-the-watcher", "203.0.113.77", "hush-hush"]
    with Cinelog(tmp_path / "var", proxies=1) as service:
        headers = {"X-Forwarded-For": "203.0.113.77", "User-Agent": "hush-hush"}
        with httpx.Client(base_url=f"{service.url}/api/v1", headers=headers) as client:
            body = {"username": "wanda-the-watcher", "email": "ann@example.org"}
            body |= {"password": PASSWORD, "password2": PASSWORD}
            client.post("/auth/register/", json=body)
            pair = client.post("/auth/token/", json=body).json()
            client.post("/auth/token/", json=body | {"password": "hush-hush"})
            client.post("/auth/token/refresh/", json=pair)
            client.post("/auth/token/verify/", json={"token": pair["access"]})
            client.post("/auth/token/", content=b"hush-hush")
            bearer = {"Authorization": f"Bearer {pair['access']}"}
            client.get(
                "/movies/?creator__username=wanda-the-watcher&title=hush-hush", headers=bearer
            )
            client.get("/hush-hush/?q=hush-hush", headers={"Authorization": "Bearer hush-hush"})
            client.request("HUSH-HUSH", "/movies/")
            client.get("/movies/", headers={"X-Request-ID": "hush-hush;"})
    output = service.output()
    for secret in [*secrets, pair["access"], pair["refresh"], pair["access"].split(".")[2]]:
        assert secret not in output
    assert output.count('"client":"203.0.113.0/24"') == 10


def test_probes_are_not_logged(service):
    for path in ("livez", "readyz", "metrics"):
        httpx.get(f"{service.url}/{path}")
    time.sleep(0.2)
    routes = {line.get("route") for line in lines(service)}
    assert not routes & {"/livez", "/readyz", "/metrics"}


def test_a_client_that_disconnects_is_not_an_error(service, someone):
    """Its request is logged with status 499."""
    name = uuid4().hex
    (projection,) = service.processes("projection_worker")
    os.kill(projection, signal.SIGSTOP)
    try:
        written = someone.post("/movies/", json=ALIEN, headers={"Prefer": "respond-async"})
        position = written.headers["event-position"]
        waiting = {"Min-Event-Position": position, "X-Request-ID": name}
        with pytest.raises(httpx.ReadTimeout):
            someone.get("/movies/", headers=waiting, timeout=0.3)
    finally:
        os.kill(projection, signal.SIGCONT)
    assert line_of(service, name)["status"] == 499


def test_commands_print_readable_text(tmp_path):
    done = run(tmp_path / "var", "history", "nonsense")
    assert done.returncode == 2
    assert not done.stderr.startswith("{")


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", ""),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", ""),
        ("00-nonsense", ""),
        ("", ""),
    ],
)
def test_a_well_formed_trace_is_continued(header, trace_id):
    trace = Trace.of_header(header)
    assert (trace.trace_id if trace else "") == trace_id


def test_a_generated_request_id_contains_the_trace(service, someone):
    """Its events record the same id."""
    traceparent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    made = someone.post("/movies/", json=ALIEN, headers=traceparent)
    name = made.headers["x-request-id"]
    assert Trace.of_request_id(name) == (TRACE, "00f067aa0ba902b7")
    (entry,) = someone.get(f"/movies/{made.json()['id']}/history/").json()["results"]
    assert entry["request_id"] == name
    assert line_of(service, name)["trace_id"] == TRACE


def test_only_unexpected_errors_are_logged_with_a_stack_trace():
    request = CinelogRequest(b"/", Header(), "1.1", "GET", None, None)
    handler = ProblemHandler()
    with capture_logs() as logged:
        assert handler.default(request, NotFoundError()).status == 404
        assert handler.default(request, RuntimeError("a secret")).status == 500
    (line,) = logged
    assert line["log_level"] == "error"
    assert line["request_id"] == request.request_id
    assert isinstance(line["exc_info"], RuntimeError)


@pytest.mark.parametrize("value", ["half a pair: \ud800", 10**100, uuid4(), {1: 2}])
def test_every_log_event_is_one_line(value):
    """The test starts a process because the configuration is global."""
    script = (
        "import structlog, uuid, sys; from uuid import UUID; from service.observability.logs import configure_logs;"
        f"configure_logs(); structlog.get_logger().info('odd', what={value!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stderr)["event"] == "odd"


class Pipe:
    """A pipe of minimum size that counts lost lines."""

    def __init__(self):
        self.out, self.into = os.pipe()
        fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.out, False)
        self.lost = 0

    def lose(self, lines):
        self.lost += lines

    def read(self):
        try:
            return os.read(self.out, 1 << 20)
        except BlockingIOError:
            return b""

    async def drain(self, size):
        received = b""
        while len(received) < size:
            received += self.read()
            await asyncio.sleep(0.002)
        return received


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    os.close(pipe.out)
    os.close(pipe.into)


def make_lines(number, mark="a"):
    return [b'{"n":%d,"%b":"%b"}\n' % (n, mark.encode(), b"x" * 300) for n in range(number)]


async def test_a_stalled_reader_does_not_block(pipe, monkeypatch):
    """Unread lines are kept up to a limit; further ones are dropped and counted."""
    monkeypatch.setattr(request_log, "MAX_LINES", 100)
    log = LineWriter(pipe.lose, fd=pipe.into)
    started_at = time.perf_counter()
    for _ in range(10):
        log.write(make_lines(50))
    assert time.perf_counter() - started_at < 0.1
    kept = 500 - pipe.lost
    assert 100 <= kept <= 130
    received = await pipe.drain(sum(map(len, make_lines(50))) * kept // 50 - 1_000)
    assert all(json.loads(line) for line in received.splitlines() if line.endswith(b"}"))
    log.write(make_lines(1, "again"))
    await asyncio.sleep(0.05)
    log.close()
    assert b"again" in pipe.read()
    assert 500 - pipe.lost == kept


async def test_lines_of_two_processes_do_not_mix(pipe):
    one, other = (LineWriter(pipe.lose, fd=pipe.into) for _ in range(2))
    for _ in range(20):
        one.write(make_lines(30, "one"))
        other.write(make_lines(30, "other"))
    received = await pipe.drain(20 * sum(map(len, make_lines(30, "one") + make_lines(30, "other"))))
    assert pipe.lost == 0
    assert len([json.loads(line) for line in received.splitlines()]) == 1_200


async def test_a_closed_pipe_does_not_block():
    out, into = os.pipe()
    os.close(out)
    lost = []
    log = LineWriter(lost.append, fd=into)
    log.write(make_lines(5))
    log.close()
    os.close(into)
    assert sum(lost) == 5


def test_every_line_of_a_service_is_json(tmp_path):
    """This includes the lines about a worker that dies."""
    with Cinelog(tmp_path / "var", "--sample", misspelled="x") as service:
        service.kill("api_worker")
        eventually(lambda: "started again" in service.output())
        service.wait_until_ready()
    found = [json.loads(line) for line in service.output().splitlines()]
    events = {line["event"] for line in found}
    assert {line["url"] for line in found if "url" in line} == {service.url}
    assert any(line["event"].startswith("CINELOG_MISSPELLED") for line in found)
    assert len([line for line in found if "password" in line]) == 1
    assert "API worker 1 ended (killed by SIGKILL); started again in 0.1 s" in events
    assert all(line["level"] in ("info", "warning", "error") for line in found)


def test_output_of_a_child_is_json(tmp_path):
    """A traceback is one line."""
    serving = Serving(tmp_path / "var", app="crashing_app", constants={"service.backoff.TRIES": 2})
    code, output = serving.ended()
    found = [json.loads(line) for line in output.splitlines()]
    (crash, *_) = [line for line in found if "text" in line]
    assert (code, crash["level"], crash["process"][:10]) == (1, "error", "API worker")
    assert "RuntimeError: a bug" in crash["text"]


def test_an_invalid_setting_of_a_service_is_reported_as_json(tmp_path):
    done = run(tmp_path / "var", "serve", port="http", workers=1)
    line = json.loads(done.stderr)
    assert (done.returncode, line["variable"], line["level"]) == (2, "CINELOG_PORT", "error")
    done = run(tmp_path / "var", "serve", port="http", log_format="text")
    assert done.stderr.startswith("cinelog: CINELOG_PORT: ")


@pytest.mark.parametrize(("level", "requests", "warnings"), [("warning", 0, 1), ("critical", 0, 0)])
def test_lines_below_the_level_are_not_logged(tmp_path, level, requests, warnings):
    with Cinelog(tmp_path / "var", log_level=level, misspelled="x") as service:
        httpx.get(f"{service.url}/api/v1/movies/")
        time.sleep(0.2)
    output = service.output()
    assert output.count('"event":"request"') == requests
    assert output.count("CINELOG_MISSPELLED") == warnings


def test_lines_on_a_terminal_are_readable_text(tmp_path):
    leader, follower = pty.openpty()
    port = free_port()
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", str(port), "--workers", "1"],
        env=environment(tmp_path / "var"),
        stdout=follower,
        stderr=follower,
    )
    output = b""
    try:
        while b"serves on" not in output:
            output += os.read(leader, 4096)
        httpx.get(f"http://127.0.0.1:{port}/api/v1/movies/")
        while b" 401 GET /api/v1/movies " not in output:
            output += os.read(leader, 4096)
    finally:
        process.terminate()
        process.wait()
        os.close(leader)
        os.close(follower)
    assert b"{" not in output
