"""Streams and connections are bounded; probes are always answered."""

import socket
import sqlite3
import time
from contextlib import ExitStack, closing

import httpx
import pytest

from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog, eventually, problem

STREAM = "/events/stream"
PROBES = ("/livez", "/readyz", "/metrics", "/livez/")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A service for 12 connections, 9 of them streams."""
    folder = tmp_path_factory.mktemp("small") / "var"
    bounds = {"max_connections": 12, "streams_per_account": 4}
    with Cinelog(folder, **bounds) as service:
        yield service
    assert "Traceback" not in service.output()


def open_streams(stack, client, count):
    """Open up to ``count`` streams; return them and the first refusal, if any."""
    streams = []
    for _ in range(count):
        answer = stack.enter_context(client.stream("GET", STREAM))
        if answer.status_code != 200:
            answer.read()
            return streams, answer
        streams.append(answer)
    return streams, None


def open_connections(service):
    shown = httpx.get(f"{service.url}/metrics").text
    return float(shown.partition("\ncinelog_connections_open ")[2].split()[0])


def fill_connections(stack, service):
    """Open silent connections until the service refuses more."""
    for _ in range(40):
        stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
    eventually(lambda: httpx.get(f"{service.url}/docs").status_code == 503)


def test_streams_per_account_are_bounded(small):
    """Streams of other accounts do not count; a closed stream frees its slot."""
    ann, bob = small.account("ann"), small.account("bob")
    with ExitStack() as stack:
        streams, refused = open_streams(stack, ann, 5)
        assert len(streams) == 4
        problem(refused, 429, "throttled")
        assert int(refused.headers["retry-after"]) > 0
        assert len(open_streams(stack, bob, 1)[0]) == 1
        metrics = httpx.get(f"{small.url}/metrics").text
        assert 'cinelog_throttled_total{limit="streams"} 1.0' in metrics
        streams[0].close()
        eventually(lambda: open_streams(stack, ann, 1)[0])


def test_streams_leave_connections_for_other_calls(small):
    with ExitStack() as stack:
        held, refused = 0, None
        for number in range(9):
            streams, refused = open_streams(stack, small.account(f"many-{number}"), 4)
            held += len(streams)
            if refused:
                break
        problem(refused, 503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert held == 9
        for _ in range(20):
            assert (
                small.account("zoe" + str(time.monotonic_ns())).get("/movies/").status_code == 200
            )
            break


def test_probes_are_answered_when_all_connections_are_open(small):
    """Other calls get 503; silent connections do not use the probes' reserve."""
    with ExitStack() as stack:
        fill_connections(stack, small)
        for path in PROBES * 3:
            answer = httpx.get(small.url + path)
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
        for method in ("GET", "POST"):
            refused = httpx.request(method, f"{small.url}/api/v1/movies/")
            assert refused.status_code == 503
            assert refused.json()["code"] == "unavailable"
    eventually(lambda: httpx.get(f"{small.url}/api/v1/movies/").status_code == 401)


def test_a_probe_may_arrive_in_pieces(small):
    with ExitStack() as stack:
        fill_connections(stack, small)
        probe = stack.enter_context(socket.create_connection(("127.0.0.1", small.port), timeout=5))
        for piece in (b"GET /li", b"vez HTTP/1.1\r\nHo", b"st: localhost\r\n\r\n"):
            probe.sendall(piece)
            time.sleep(0.02)
        assert probe.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_disconnected_after_its_token_expires(tmp_path):
    """Whether or not all that was sent fits into buffers."""
    with Cinelog(tmp_path / "var", access_ttl_s=2) as service:
        ann = service.account("ann")
        ann.post("/movies/", json=ALIEN | {"title": "A" * 100})
        with closing(sqlite3.connect(tmp_path / "var" / "events.db")) as log:
            log.execute(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000)"
                " INSERT INTO stored_events SELECT printf('%032x', n), 1, topic, state FROM n,"
                " (SELECT topic, state FROM stored_events WHERE topic = 'MovieCreated')"
            )
            log.commit()
        before = open_connections(service)
        body = {"username": "ann", "password": PASSWORD}
        token = httpx.post(f"{service.url}/api/v1/auth/token/", json=body).json()["access"]
        with ExitStack() as stack:
            for after in (0, 12_000):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", service.port))
                head = f"GET /api/v1{STREAM}?after={after} HTTP/1.1\r\nHost: localhost\r\n"
                sock.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
            began = time.monotonic()
            time.sleep(0.5)
            assert open_connections(service) == before + 2
            eventually(lambda: open_connections(service) <= before, 20, pause_s=0.2)
            assert time.monotonic() - began > 1
