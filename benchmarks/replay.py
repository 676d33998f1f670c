"""Replay, rebuild and verify of a large log, beside a running service.

    .venv/bin/python benchmarks/replay.py [--movies 1000000] [--parallel 2] [--rounds 3]

The log has a creation for each movie, an update for every fifth and a deletion for every tenth; its
rows are written straight into SQLite. Replay (read, decode, fold) alternates with a plain
``select_notifications`` of the library over the same log. Then the service runs on the log. Printed
are the time of its first projection, the p99 of 100 lists a second, alone and during
``cinelog rebuild``, the time and memory of the rebuild, and the times of ``cinelog verify`` and of
a list at the position in the middle of the log. All figures come from one run.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import uuid_utils.compat

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from projections.rebuild.parallel_replay import stream_ranges
from projections.rebuild.replay import StreamRange, Usernames, fold_streams, whole_streams
from projections.rebuild.worker_process import collect_garbage_rarely

WORDS = ["the", "of", "alien", "night", "day", "love", "red", "star", "war", "man", "ant", "wasp"]
GENRES = ["Action", "Adventure", "Comedy", "Drama", "Horror", "Musical", "Western", "Thriller"]
SPAWN = multiprocessing.get_context("spawn")
RATE = 100  # lists a second
PATHS = ["/movies/", "/movies/?ordering=title&page=7", "/movies/?ordering=-year&page_size=50"]


def events(movies):
    """Yield the rows of the log."""
    rng, moment = random.Random(7), datetime(2026, 1, 1, tzinfo=UTC)
    ids, owners = [], []
    accounts = [uuid_utils.compat.uuid7() for _ in range(10)]

    def state(**fields):
        nonlocal moment
        moment += timedelta(milliseconds=1)
        return orjson.dumps({"timestamp": rfc3339(moment), "request_id": "bench", **fields})

    def title():
        return " ".join(rng.choices(WORDS, k=4)).title()

    for number, account in enumerate(accounts):
        names = {"username": f"user{number}", "email": "x@example.org", "password_hash": "x"}
        names |= {"first_name": "", "last_name": "", "originator_topic": "User"}
        yield account.hex, 1, "UserRegistered", state(**names)
    for _ in range(movies):
        ids.append(uuid_utils.compat.uuid7().hex)
        owners.append(str(rng.choice(accounts)))
        fields = {"title": title(), "genre": rng.choice(GENRES), "year": rng.randint(1900, 2025)}
        about = {"originator_topic": "Movie", "class_version": 2, "by": owners[-1]}
        yield ids[-1], 1, "MovieCreated", state(**fields, **about)
    changed = rng.sample(range(movies), movies // 5)
    for one in changed:
        fields = state(title=title(), by=owners[one], class_version=2)
        yield ids[one], 2, "MovieUpdated", fields
    twice = set(changed)
    for one in rng.sample(range(movies), movies // 10):
        version = 3 if one in twice else 2
        yield ids[one], version, "MovieDeleted", state(by=owners[one], class_version=2)


def build_log(path, movies):
    Store.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " VALUES (?, ?, ?, ?)",
            events(movies),
        )
    connection.close()


def read_with_library(url):
    """Read the log with the library alone; return events per second."""
    store = Store.open(url, create=False)
    recorder = store._recorder  # noqa: SLF001 - the library, without what we put around it
    position = read = 0
    started = time.perf_counter()
    while batch := recorder.select_notifications(position + 1, 1000):
        position, read = batch[-1].id, read + len(batch)
    rate = read / (time.perf_counter() - started)
    store.close()
    return rate


def measure_replay(url, processes):
    """Read, decode and fold the log; return events per second once the processes run."""
    store = Store.open(url, create=False)
    until = store.head()
    spans = stream_ranges(store, until, processes * 4)
    shares = [(url, until, [tuple(span) for span in spans[n::processes]]) for n in range(processes)]
    store.close()
    with SPAWN.Pool(processes) as pool:
        pool.map(time.sleep, [0.5] * processes, chunksize=1)  # until all have started
        started = time.perf_counter()
        read = sum(pool.starmap(replay_share, shares, chunksize=1))
        return read / (time.perf_counter() - started)


def replay_share(url, until, spans):
    collect_garbage_rarely()  # as cinelog rebuild does
    store = Store.open(url, create=False)
    names, read = Usernames(store), 0
    for span in spans:
        for batch in whole_streams(store, until, StreamRange(*span)):
            fold_streams(batch, names)
            read += len(batch)
    store.close()
    return read


def memory_mb(pid):
    """Return the RSS in MB of a process and its descendants, without Valkey."""
    below, parents = {pid}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for _ in range(4):
        below |= {child for child, parent in parents.items() if parent in below}
    total = 0
    for one in below:
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        if b"valkey" in Path(f"/proc/{one}/cmdline").read_bytes():
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total / 1024


async def request_lists(port, token, stop, times):
    """Request lists at a fixed rate; record the duration of each in ms."""

    async def one(path, connection):
        began = time.perf_counter()
        reader, writer = connection
        head = f"GET /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}"
        writer.write(f"{head}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = next(
            int(line.split(b":")[1])
            for line in answer.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        times.append((time.perf_counter() - began) * 1000)
        free.append(connection)

    free, tasks, number = [], set(), 0
    started = time.perf_counter()
    while not stop():
        await asyncio.sleep(max(0, started + number / RATE - time.perf_counter()))
        connection = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        task = asyncio.create_task(one(PATHS[number % len(PATHS)], connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
    await asyncio.gather(*tasks)


def percentile(times, share=0.99):
    return sorted(times)[int(len(times) * share)]


def measure_service(folder, options):
    """Print the figures of a running service."""
    # Imported here, so that replay processes start like those of a rebuild.
    from tests.running import COMMAND, Cinelog, environment, run  # noqa: PLC0415

    data = folder / "var"
    started = time.monotonic()
    with Cinelog(data, write_wait_ms=5000) as cinelog:
        client = cinelog.account("bench")
        while not client.get("/movies/").is_success:
            time.sleep(0.25)
        took_s = time.monotonic() - started
        print(f"service, its list built by the projection alone: {took_s:.1f} s")
        token = client.pair["access"]
        idle, busy, peak = [], [], [0.0]
        until = time.monotonic() + options.seconds
        asyncio.run(request_lists(cinelog.port, token, lambda: time.monotonic() > until, idle))
        rebuild = subprocess.Popen(
            [COMMAND, "rebuild", "--json", "--parallel", str(options.parallel)],
            env=environment(data),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        def watch():
            while rebuild.poll() is None:
                peak[0] = max(peak[0], memory_mb(rebuild.pid))
                time.sleep(0.25)

        watching = threading.Thread(target=watch)
        watching.start()
        asyncio.run(request_lists(cinelog.port, token, lambda: rebuild.poll() is not None, busy))
        watching.join()
        report = json.loads(rebuild.stdout.read())
        rebuild.stdout.close()
        print(
            f"rebuild --parallel {options.parallel} of {report['movies']:,} movies"
            f" ({report['events']:,} events): {report['seconds']:.1f} s, at most {peak[0]:.0f} MB"
            f" beside Redis, {report['compared']:,} fields compared, {report['differing']} differ"
        )
        quiet, loud = percentile(idle), percentile(busy)
        print(
            f"list, {RATE} a second: p50 {percentile(idle, 0.5):.1f} ms, p99 {quiet:.1f} ms idle;"
            f" p50 {percentile(busy, 0.5):.1f} ms, p99 {loud:.1f} ms while it is rebuilt"
            f" ({loud / quiet:.1f} times)"
        )
        started = time.monotonic()
        verified = run(data, "verify", "--json")
        print(f"verify: {time.monotonic() - started:.1f} s, exit {verified.returncode}")
        started, tries = time.monotonic(), 1
        position = report["events"] // 2
        while not client.get("/movies/", params={"at_position": position}).is_success:
            tries += 1
        took_s = time.monotonic() - started
        print(f"list as it was at position {position:,}: {took_s:.1f} s, {tries} requests")
        started = time.monotonic()
        client.get("/movies/", params={"at_position": position, "page": 3})
        print(f"another page of it: {(time.monotonic() - started) * 1000:.1f} ms")
        used = cinelog.redis().info("memory")["used_memory_human"]
        print(f"Redis with both: {used}")


def main():
    """Measure replays and the service, and print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--movies", type=int, default=1_000_000)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replay-only", action="store_true")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} at the start, {options.movies:,} movies")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "var").mkdir(mode=0o700)
        path = folder / "var" / "events.db"
        build_log(path, options.movies)
        url = f"sqlite:///{path}"
        rates = {"plain": [], "one": [], "all": []}
        for _ in range(options.rounds):
            with SPAWN.Pool(1) as pool:
                rates["plain"].append(pool.apply(read_with_library, [url]))
            rates["one"].append(measure_replay(url, 1))
            rates["all"].append(measure_replay(url, options.parallel))
        base = statistics.median(rates["plain"])
        for kind, what in (
            ("plain", "select_notifications"),
            ("one", "replay, 1 process"),
            ("all", f"replay, {options.parallel} processes"),
        ):
            rate = statistics.median(rates[kind])
            print(f"{what:24}{rate:10,.0f} events/s{rate / base:8.2f}")
        if not options.replay_only:
            measure_service(folder, options)


if __name__ == "__main__":
    main()
