"""Connections are bounded in number, and requests in the time they take to arrive."""

import asyncio
import itertools
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
from sanic.response import json, text

from service.web.problems import ProblemHandler
from service.web.request import CinelogRequest
from service.web.transport.server import HttpServer
from tests.running import Cinelog, eventually

_numbers = itertools.count(1)
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n"


def connect(port, stack):
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
    sock.settimeout(5)
    return sock


def refusal_of(sock):
    """Return the bytes sent to a refused connection; empty if it is accepted."""
    sock.setblocking(False)
    try:
        return sock.recv(4096)
    except BlockingIOError:
        return b""
    except ConnectionResetError:
        return b"reset"


def test_connections_beyond_the_limit_get_503(tmp_path):
    """Open connections are served; closed ones make room."""
    with Cinelog(tmp_path / "var", max_connections=20) as service, ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=service.url))
        assert client.get("/livez").status_code == 200
        slow = [connect(service.port, stack) for _ in range(300)]
        for sock in slow:
            with suppress(OSError):
                sock.sendall(b"GET / HT")
        time.sleep(0.3)
        refusals = [answer for answer in map(refusal_of, slow) if answer]
        assert len(refusals) == 300 - 19
        answers = [answer for answer in refusals if answer != b"reset"]
        assert answers
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        assert b"retry-after: 1" in answers[0]
        assert client.get("/livez").status_code == 200
        shown = client.get("/metrics").text
        assert "cinelog_connections_open 20.0" in shown
        assert "cinelog_connections_turned_away_total 281.0" in shown
        for sock in slow:
            sock.close()
        eventually(lambda: httpx.get(f"{service.url}/livez").status_code == 200)
    assert "Traceback" not in service.output()


@contextmanager
def running_server(**config):
    """Run a server in a thread; yield its port."""
    app = HttpServer(
        f"connections_{next(_numbers)}",
        request_class=CinelogRequest,
        error_handler=ProblemHandler(),
        configure_logging=False,
    )
    app.config.update(
        {"ACCESS_LOG": False, "AUTO_EXTEND": False, "TOUCHUP": False, "MAX_CONNECTIONS": 100}
        | config
    )

    @app.post("/")
    async def answer(request):
        return text(str(len(request.body)))

    @app.route("/echo", methods=["GET", "HEAD", "POST"])
    async def echo(request):
        told = [request.method, request.args, list(request.headers.items()), request.body.decode()]
        request.headers["x-added"] = "by the handler"
        return json(told)

    ready, over, loops = threading.Event(), [], []

    async def serve(sock):
        over.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        server = await app.create_server(sock=sock, return_asyncio_server=True)
        await server.startup()
        ready.set()
        await over[0].wait()
        server.close()
        await server.wait_closed()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=asyncio.run, args=(serve(sock),))
        thread.start()
        assert ready.wait(10)
        try:
            yield sock.getsockname()[1]
        finally:
            loops[0].call_soon_threadsafe(over[0].set)
            thread.join(10)


@pytest.fixture(scope="module")
def port():
    """The port of a server that allows 0.5 s per request and checks every 0.1 s."""
    with running_server(RECEIVE_TIMEOUT=0.5, REQUEST_TIMEOUT=0.2, RESPONSE_TIMEOUT=0.2) as port:
        yield port


def drip(sock, data, pause_s=0.04):
    """Send a byte at a time until the server closes; return its answer."""
    for byte in data:
        try:
            sock.sendall(bytes([byte]))
        except OSError:
            break
        time.sleep(pause_s)
    return sock.recv(4096)


@pytest.mark.parametrize(
    ("first", "rest"),
    [(b"", HEAD), (HEAD, b"x" * 60)],
    ids=["slow head", "slow body"],
)
def test_a_slow_request_is_ended(port, first, rest):
    """Short pauses between bytes do not extend the limit."""
    with ExitStack() as stack:
        sock = connect(port, stack)
        sock.sendall(first)
        began = time.monotonic()
        answer = drip(sock, rest)
        assert time.monotonic() - began < 2
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert sock.recv(4096) == b""


def test_a_connection_may_outlast_the_request_limit(port):
    """The limit applies to each request, not to the connection."""
    with ExitStack() as stack:
        sock = connect(port, stack)
        for _ in range(20):
            sock.sendall(HEAD)
            time.sleep(0.03)
            sock.sendall(b"x" * 60)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
