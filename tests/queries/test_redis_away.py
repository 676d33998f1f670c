"""A Redis that refuses commands or stays silent is reported as unavailable."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

import pytest

from commands.errors import ReadModelUnavailableError
from projections.redis_client import breaker_for, open_async_redis
from queries.pipelining import RequestBatcher

pytestmark = pytest.mark.anyio

REFUSALS = [
    b"LOADING Valkey is loading the dataset in memory",
    b"BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    b"READONLY You can't write against a read only replica.",
    b"OOM command not allowed when used memory > 'maxmemory'.",
    b"MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to",
    b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"NOAUTH Authentication required.",
    b"NOPERM this user has no permissions to run the 'get' command",
    b"NOREPLICAS Not enough good replicas to write.",
    b"UNKILLABLE Sorry the script already executed write commands against the dataset.",
    b"CLUSTERDOWN The cluster is down",
    b"ERR Error running script: @user_script:1: -OOM command not allowed",
]


class Handler(StreamRequestHandler):
    """Greets a client like Redis, then refuses its commands or stays silent."""

    def handle(self):
        with suppress(OSError, ValueError):  # the client is gone, maybe in the middle of a command
            while line := self.rfile.readline():
                self.answer([self.read_word() for _ in range(int(line[1:]))])

    def read_word(self):
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2]

    def answer(self, words):
        command = words[0].upper()
        if command in (b"HELLO", b"CLIENT") and self.server.greets:
            self.wfile.write(b"%0\r\n" if command == b"HELLO" else b"+OK\r\n")
        elif self.server.refusal is not None:
            self.wfile.write(b"-" + self.server.refusal + b"\r\n")


class Server(ThreadingUnixStreamServer):
    """A server on threads: closing it waits for its connections, those of a probe included."""

    request_queue_size = 100

    def __init__(self, path, refusal, *, greets):
        super().__init__(path, Handler)
        self.refusal, self.greets = refusal, greets


@asynccontextmanager
async def batcher_of(tmp_path, refusal, *, greets):
    """Return a batcher for a server that answers with a refusal, or not at all if it is None."""
    path = str(tmp_path / "redis.sock")
    server = Server(path, refusal, greets=greets)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    breaker = breaker_for(f"unix://{path}")
    client = open_async_redis(f"unix://{path}")
    batcher = RequestBatcher(client, breaker=breaker)
    try:
        yield batcher
    finally:
        await batcher.close()
        breaker.close()
        await client.aclose()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("greets", [True, False])
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda text: text.split()[0].decode())
async def test_a_refusal_is_reported_as_unavailable(tmp_path, refusal, greets):
    """The server may also refuse the first command of a connection."""
    async with batcher_of(tmp_path, refusal, greets=greets) as batcher:
        for _ in range(2):
            with pytest.raises(ReadModelUnavailableError):
                await batcher.call("GET", "a")


@pytest.mark.slow
async def test_a_silent_redis_delays_only_the_first_callers(tmp_path):
    """Commands sent in the meantime fail with the first one, later ones at once."""
    async with batcher_of(tmp_path, None, greets=False) as batcher:

        async def wait_s(delay_s):
            await asyncio.sleep(delay_s)
            began = time.monotonic()
            with pytest.raises(ReadModelUnavailableError):
                await batcher.call("GET", f"after {delay_s}")
            return time.monotonic() - began

        waited = await asyncio.gather(*(wait_s(n / 10) for n in range(8)))
        assert max(waited) < 2.5
        assert await wait_s(0) < 0.2
