"""Load shedding: an event store that is held up costs writes only, however many there are.

``make test-flood`` holds it up for 20 s, and lets commits crawl, too.
"""

import asyncio
import os
import resource
import time
from contextlib import contextmanager
from pathlib import Path

import orjson
import psycopg
import pytest

from tests.controls import ALIEN
from tests.postgres import locked
from tests.running import Cinelog, persistently
from tests.service.faults.flood import ask, flood, request_of

LONG = "FLOOD_S" in os.environ
HELD_S = float(os.environ.get("FLOOD_S", "3"))
CONNECTIONS, WRITERS = 400, 150
PAUSE_S = 0.3 if LONG else 0.6
# Of 400 connections 300 may be streams, and 75 of the rest writes that wait.
WAITING = 75
READ_S, RECOVERY_S = 1.0, 5.0


@contextmanager
def slow_disk(url):
    """Let each commit of events take a second and a half."""
    with psycopg.connect(url, autocommit=True) as connection:
        # Once for each transaction.
        connection.execute(
            "CREATE FUNCTION crawl() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF current_setting('flood.done', true) IS DISTINCT FROM txid_current()::text THEN"
            " PERFORM set_config('flood.done', txid_current()::text, false), pg_sleep(1.5);"
            " END IF; RETURN NULL; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER crawl AFTER INSERT ON cinelog_events DEFERRABLE"
            " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crawl()"
        )
        yield
        connection.execute("DROP FUNCTION crawl CASCADE")


@contextmanager
def locked_table(url):
    with locked(url, "ACCESS EXCLUSIVE"):
        yield


def memory_mb(service):
    """Return the resident memory of the API worker."""
    (pid,) = service.processes("api_worker")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def read_and_write(service, token, movie_id):
    """Send reads one after another, each on a new connection, beside a flood of writes."""
    until = time.monotonic() + HELD_S
    post = request_of("POST", "/movies/", token, orjson.dumps(ALIEN))
    writes = asyncio.ensure_future(
        flood(service.port, post, connections=WRITERS, pause_s=PAUSE_S, until=until)
    )
    reads = []
    while time.monotonic() < until:
        for path in ("/movies/", "/movies/?title=alien", f"/movies/{movie_id}/"):
            read = await ask(service.port, request_of("GET", path, token))
            reads.append(read)
        await asyncio.sleep(0.05)
    return reads, await writes


@pytest.mark.parametrize("fault", [locked_table, slow_disk] if LONG else [locked_table])
def test_a_flood_of_writes(tmp_path, postgres, fault):
    """Reads are answered; writes are answered in time, or refused at once beyond the bound."""
    settings = {"event_store_url": postgres(), "max_connections": CONNECTIONS}
    with Cinelog(tmp_path / "var", **settings) as service:
        ann = service.account("ann")
        movie = ann.post("/movies/", json=ALIEN).json()
        ann.get("/movies/")
        before_mb = memory_mb(service)
        with fault(settings["event_store_url"]):
            reads, writes = asyncio.run(read_and_write(service, ann.pair["access"], movie["id"]))
        refused = [answer for answer in writes if answer.status != 201]
        assert fault is locked_table or len(refused) < len(writes)
        assert {answer.status for answer in refused} == {503}
        assert all(b"\r\nretry-after: " in answer.head for answer in refused)
        assert max(answer.took_s for answer in writes) < 6
        at_once = [answer for answer in refused if b'"The queue is unavailable."' in answer.body]
        assert len(at_once) >= WRITERS - WAITING
        assert max(answer.took_s for answer in at_once) < READ_S
        assert {answer.status for answer in reads} == {200}
        slowest_s = max(answer.took_s for answer in reads)
        print(f"{len(reads)} reads, slowest {slowest_s:.3f} s; {len(writes)} writes, ")
        print(f"{len(refused)} refused, {len(at_once)} by the bound; {before_mb:.0f} MB before")
        assert slowest_s < READ_S
        began = time.monotonic()
        persistently(lambda: ann.post("/movies/", json=ALIEN))
        assert time.monotonic() - began < RECOVERY_S
        print(f"{memory_mb(service):.0f} MB after")
        assert memory_mb(service) < before_mb + 30
