"""A Redis that answers with refusals, or not at all, is away: never an error of ours."""

import asyncio
import time
from contextlib import asynccontextmanager

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


class Server:
    """Greets a client as a server does, then refuses all it asks, or stays silent."""

    def __init__(self, refusal, *, greets=True):
        self.refusal, self.greets, self.asked = refusal, greets, 0

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if words[0].upper() in (b"HELLO", b"CLIENT") and self.greets:
                    writer.write(b"%0\r\n" if words[0].upper() == b"HELLO" else b"+OK\r\n")
                elif self.refusal is not None:
                    self.asked += 1
                    writer.write(b"-" + self.refusal + b"\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def asking(server, tmp_path):
    path = str(tmp_path / "redis.sock")
    listening = await asyncio.start_unix_server(server.serve, path)
    breaker = breaker_for(f"unix://{path}")
    client = open_async_redis(f"unix://{path}")
    batcher = RequestBatcher(client, breaker=breaker)
    try:
        yield batcher
    finally:
        await batcher.close()
        breaker.close()
        await client.aclose()
        listening.close()


@pytest.mark.parametrize("greets", [True, False])
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda text: text.split()[0].decode())
async def test_a_refusal_is_no_error_of_ours(tmp_path, refusal, greets):
    """Also where it refuses the first word of a client."""
    async with asking(Server(refusal, greets=greets), tmp_path) as batcher:
        for _ in range(2):
            with pytest.raises(ReadModelUnavailableError):
                await batcher.call("GET", "a")


@pytest.mark.slow
async def test_silence_costs_the_first_callers_a_second(tmp_path):
    """What is asked meanwhile is answered with the first, what is asked later at once."""
    async with asking(Server(None, greets=False), tmp_path) as batcher:

        async def ask(delay_s):
            await asyncio.sleep(delay_s)
            began = time.monotonic()
            with pytest.raises(ReadModelUnavailableError):
                await batcher.call("GET", f"after {delay_s}")
            return time.monotonic() - began

        waited = await asyncio.gather(*(ask(n / 10) for n in range(8)))
        assert max(waited) < 2.5
        assert await ask(0) < 0.2
