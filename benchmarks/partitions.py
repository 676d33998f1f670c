"""A log in partitions by movie id, on one PostgreSQL: ``python -m benchmarks.partitions --help``.

A prototype. Each partition is a log of its own, with its own positions, writer lock and table: a
database of one server. Each node is a process with an executor for each partition, which takes what
waits, at most 256 commands, and commits it as the service does
(``commands.execution.group_commit``). The clients of a node are a closed loop: one whose movie was
created creates another, whose id chooses the partition. So nothing is left out but HTTP and the
read model.

``--flush-ms`` makes each flush of the write-ahead log take so much longer (``commit_delay``), as a
disk in a network or a synchronous standby does.
"""

import argparse
import itertools
import multiprocessing
import os
import queue
import shlex
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pgserver
import psutil
import psycopg
import uuid_utils.compat

from commands.event_store.store import Store
from commands.execution.group_commit import commit
from commands.messages import CreateMovie, MovieFields

from .contest import report
from .contest.appends import percentile

WORK = Path("var/bench")
MAX_BATCH = 256
FIELDS = MovieFields.of({"title": "Alien", "genre": "Horror", "year": 1979})
BY = uuid_utils.compat.uuid7()
SPAWN = multiprocessing.get_context("spawn")


class Client(NamedTuple):
    """A client that waits since ``began`` for its movie."""

    began: float
    command: CreateMovie


class NodeResult(NamedTuple):
    """What the executors of one node did within the measured time."""

    latencies: list[float]
    transactions: int
    processor_s: float


class RunResult(NamedTuple):
    """What one run found."""

    rate: float
    """Movies/s."""
    p50_ms: float
    p99_ms: float
    batch: float
    """Movies a transaction."""
    nodes_us: float
    """Processor time of the nodes for a movie."""
    server_us: float
    """Processor time of PostgreSQL for a movie."""


def new_client():
    command = CreateMovie(
        by=BY,
        request_id="bench",
        at=datetime.now(UTC),
        movie_id=uuid_utils.compat.uuid7(),
        fields=FIELDS,
    )
    return Client(time.monotonic(), command)


def partition_of(movie_id, partitions):
    """Return the partition of a movie: by the random end of its UUIDv7."""
    return movie_id.int % partitions


class Executor(threading.Thread):
    """Commits what waits for one partition, as long as the node runs."""

    def __init__(self, url, queues, number, until):
        super().__init__(daemon=True)
        self.store = Store.open(url)
        self.store.identity()
        self.latencies, self.transactions = [], 0
        self._queues, self._number, self._until = queues, number, until

    def run(self):
        waiting = self._queues[self._number]
        while time.monotonic() < self._until.value:
            try:
                batch = [waiting.get(timeout=0.1)]
            except queue.Empty:
                continue
            while len(batch) < MAX_BATCH and not waiting.empty():
                batch.append(waiting.get_nowait())
            for answer in commit(self.store, [one.command for one in batch]):
                if isinstance(answer, Exception):
                    raise answer
            now = time.monotonic()
            self.transactions += 1
            for one in batch:
                self.latencies.append(now - one.began)
                following = new_client()
                place = partition_of(following.command.movie_id, len(self._queues))
                self._queues[place].put(following)


def run_node(urls, clients, start, until, results):
    """Run one node: executors, and clients that they answer."""
    queues = [queue.SimpleQueue() for _ in urls]
    executors = [Executor(url, queues, number, until) for number, url in enumerate(urls)]
    start.wait()
    before = time.process_time()
    for _ in range(clients):
        client = new_client()
        queues[partition_of(client.command.movie_id, len(urls))].put(client)
    for one in executors:
        one.start()
    for one in executors:
        one.join()
    latencies = list(itertools.chain(*(one.latencies for one in executors)))
    transactions = sum(one.transactions for one in executors)
    results.put(NodeResult(latencies, transactions, time.process_time() - before))
    for one in executors:
        one.store.close()


def server_s(pid):
    """Return the processor time of a server and the processes that it has and had, in s."""
    process = psutil.Process(pid)
    own, ended = process.cpu_times(), process.cpu_times()
    total = own.user + own.system + ended.children_user + ended.children_system
    for child in process.children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total


def measure(server, partitions, nodes, options):
    """Return the result of one run, with empty logs."""
    urls = []
    for number in range(partitions):
        name = f"partition_{number}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        urls.append(server.get_uri(database=name))
        Store.open(urls[-1]).close()
    start, until, results = SPAWN.Barrier(nodes + 1), SPAWN.Value("d", 0.0), SPAWN.Queue()
    clients = options.clients // nodes
    processes = [
        SPAWN.Process(target=run_node, args=(urls, clients, start, until, results))
        for _ in range(nodes)
    ]
    for process in processes:
        process.start()
    until.value = time.monotonic() + 3_600
    start.wait()
    before, began = server_s(server.get_pid()), time.monotonic()
    until.value = began + options.seconds
    found = [results.get(timeout=options.seconds + 60) for _ in processes]
    took = time.monotonic() - began
    after = server_s(server.get_pid())
    for process in processes:
        process.join()
    latencies = sorted(itertools.chain(*(one.latencies for one in found)))
    movies = len(latencies)
    return RunResult(
        movies / took,
        percentile(latencies, 50) * 1_000,
        percentile(latencies, 99) * 1_000,
        movies / sum(one.transactions for one in found),
        sum(one.processor_s for one in found) / movies * 1e6,
        (after - before) / movies * 1e6,
    )


def set_flush(server, flush_ms):
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET commit_delay = {int(flush_ms * 1_000)}")
        connection.execute("ALTER SYSTEM SET commit_siblings = 0")
        connection.execute("SELECT pg_reload_conf()")


def markdown(results, command):
    """Return a table; ``results`` are rounds by (added flush time, nodes, partitions)."""
    heads = ["flush + ms", "nodes", "partitions", "movies/s", "p50 ms", "p99 ms"]
    heads += ["movies a transaction", "nodes us a movie", "PostgreSQL us a movie"]
    lines = [
        "# Appends over partitions of the log",
        "",
        f"{report.machine()}; {os.cpu_count()} cores for nodes and PostgreSQL together.",
        "",
        f"    {command}",
        "",
        "Medians of the rounds; movies/s with the lowest and highest.",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    for (flush_ms, nodes, partitions), rounds in results.items():
        p50, p99, batch, nodes_us, server_us = (
            statistics.median(column) for column in list(zip(*rounds, strict=True))[1:]
        )
        rate = report.spread([one.rate for one in rounds])
        lines.append(
            f"| {flush_ms:g} | {nodes} | {partitions} | {rate} | {p50:.1f} | {p99:.1f}"
            f" | {batch:.1f} | {nodes_us:.0f} | {server_us:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--nodes", type=int, nargs="+", default=[2])
    parser.add_argument("--clients", type=int, default=64, help="of all nodes together")
    parser.add_argument("--flush-ms", type=float, nargs="+", default=[0, 2, 10])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=WORK / "PARTITIONS.md")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    results = {}
    with tempfile.TemporaryDirectory(dir=WORK.absolute()) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        for _ in range(options.rounds):
            for flush_ms, nodes, partitions in itertools.product(
                options.flush_ms, options.nodes, options.partitions
            ):
                set_flush(server, flush_ms)
                found = measure(server, partitions, nodes, options)
                print(flush_ms, nodes, partitions, found, flush=True)
                results.setdefault((flush_ms, nodes, partitions), []).append(found)
        server.cleanup()
    command = f"python -m benchmarks.partitions {shlex.join(sys.argv[1:])}".strip()
    options.output.write_text(markdown(results, command))


if __name__ == "__main__":
    main()
