"""The event stream and long histories: 1,000 clients on one worker, a movie with 10,000 events.

    .venv/bin/python benchmarks/feed.py [--clients 1000] [--events 10000] [--behind 300]

Prints how long after its response an event reached the last client, in several rounds, the memory
of the worker with all clients connected, and the times of the first and last page of a history, of
``?version=`` and of a change of such a movie.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent.parent))
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import create, new_id, update
from tests.running import Cinelog

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


async def listen(port, token, ready, heard):
    """Record the times at which the events of one stream arrive."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET /api/v1/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}"
    writer.write(f"{head}\r\n\r\n".encode())
    await reader.readuntil(b"retry: 1000\n")
    ready.release()
    while line := await reader.readline():
        if line.startswith(b"id: "):
            heard.append(time.monotonic())


async def measure_delivery(cinelog, client, count, rounds):
    """Return the delivery times to all clients in s, and the worker's memory in MB."""
    ready, heard = asyncio.Semaphore(0), []
    token = client.pair["access"]
    tasks = [asyncio.create_task(listen(cinelog.port, token, ready, heard)) for _ in range(count)]
    for _ in range(count):
        await asyncio.wait_for(ready.acquire(), 60)
    took = []
    for _ in range(rounds):
        heard.clear()
        began = time.monotonic()
        await asyncio.to_thread(client.post, "/movies/", json=ALIEN)
        while len(heard) < count and time.monotonic() - began < 30:
            await asyncio.sleep(0.01)
        took.append((max(heard) if len(heard) == count else float("inf")) - began)
    worker = cinelog.processes("api_worker")[0]
    status = Path(f"/proc/{worker}/status").read_text()
    memory = next(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmRSS" in line)
    for task in tasks:
        task.cancel()
    return took, memory


async def measure_beside_streams(cinelog, client, count):
    """Return the times of a list while ``count`` streams read the log from its beginning."""
    token = client.pair["access"]
    head = (
        "GET /api/v1/events/stream?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    received = 0

    async def read():
        nonlocal received
        reader, writer = await asyncio.open_connection("127.0.0.1", cinelog.port)
        writer.write(head.encode())
        while data := await reader.read(65536):
            received += len(data)
        writer.close()

    tasks = [asyncio.create_task(read()) for _ in range(count)]
    await asyncio.sleep(1)
    began, before = time.monotonic(), received
    shown = await asyncio.to_thread(timed, client, "/movies/", 200)
    rate = (received - before) / (time.monotonic() - began) / 1e6
    for task in tasks:
        task.cancel()
    return f"{shown} ({rate:.0f} MB/s to the streams)"


def timed(client, path, rounds=20):
    """Return the median and the slowest time of a GET in ms."""
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        assert client.get(path).is_success
        took.append((time.monotonic() - began) * 1000)
    return f"{statistics.median(took):7.1f} ms median {max(took):7.1f} ms slowest"


def long_history(data_dir, account, events):
    """Write a movie with ``events`` events straight into the store; return its id."""
    store, movie_id = Store.open(f"sqlite:///{data_dir}/events.db"), new_id()
    commit(store, [create(movie_id, by=UUID(account))])
    for first in range(1, events, 250):
        last = min(first + 250, events)
        changes = [
            update(movie_id, by=UUID(account), year=n % 9000 + 1) for n in range(first, last)
        ]
        commit(store, changes)
    store.close()
    return movie_id


def main():
    """Measure streams and histories, and print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--behind", type=int, default=300)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Cinelog(Path(folder) / "var", streams_per_account=options.clients) as cinelog,
    ):
        ann = cinelog.account("ann")
        ann.timeout = 30
        took, memory = asyncio.run(measure_delivery(cinelog, ann, options.clients, 10))
        print(f"{datetime.now(UTC):%Y-%m-%d}, {options.clients} stream clients on one worker")
        print(
            f"until all had an event: {statistics.median(took):.3f} s median, "
            f"{max(took):.3f} s slowest"
        )
        print(f"worker with all of them: {memory:.0f} MB")
        movie_id = long_history(cinelog.data_dir, ann.account["id"], options.events)
        url = f"/movies/{movie_id}/"
        print(f"a movie with {options.events:,} events")
        print("history, first page   ", timed(ann, f"{url}history/"))
        print("history, last page    ", timed(ann, f"{url}history/?page=last"))
        print(
            f"?version={options.events // 2:<14}",
            timed(ann, f"{url}?version={options.events // 2}"),
        )
        print("a list, alone         ", timed(ann, "/movies/", 200))
        shown = asyncio.run(measure_beside_streams(cinelog, ann, options.behind))
        print(f"a list beside {options.behind} streams from 0", shown)
        began = time.monotonic()
        assert ann.patch(url, json={"title": "Aliens"}).is_success
        print(f"first change           {(time.monotonic() - began) * 1000:7.1f} ms")
        began = time.monotonic()
        assert ann.patch(url, json={"title": "Alien 3"}).is_success
        print(f"second change          {(time.monotonic() - began) * 1000:7.1f} ms")


if __name__ == "__main__":
    main()
