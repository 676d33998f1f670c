"""Appends to the event store alone: ``python -m benchmarks.contest.appends --help``.

The workload is ``concurrent_writers.yaml`` of github.com/pyeventsourcing/eventstore-benchmarks:
events of 256 bytes, 10,000 streams, flat or Zipf; its figures can stand beside those here. Two
things differ: the writers are threads of one Python process, and each append is decided under the
writer lock and refused if its stream has moved on, as in the service, where those stores append
without a condition.
"""

import argparse
import bisect
import itertools
import json
import random
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

from commands.event_store.store import Store

from . import report
from .__main__ import WORK, Postgres, say

STREAMS, EVENT_BYTES = 10_000, 256
BARE = "bare eventsourcing, SQLite"
PERCENTILES = (50, 95, 99, 99.9)


class Appended(NamedTuple):
    """What one run found."""

    rate: float
    """Events/s."""
    latencies: tuple[float, ...]
    """PERCENTILES of an append, in ms."""


def percentile(ordered, share):
    """Return the smallest of ascending values that ``share`` percent do not exceed."""
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, -int(-len(ordered) * share // 100) - 1)]


def stream_picker(distribution, count, rng):
    """Return a function that draws a stream's number; in ``zipf`` the n-th weighs 1 / n."""
    if distribution == "flat":
        return lambda: rng.randrange(count)
    sums = list(itertools.accumulate(1 / n for n in range(1, count + 1)))
    return lambda: bisect.bisect(sums, rng.random() * sums[-1], hi=count - 1)


def payload(size):
    """Return an event's JSON of ``size`` bytes."""
    empty = json.dumps({"data": ""})
    return json.dumps({"data": "x" * (size - len(empty))}).encode()


class Bare:
    """The recorder of the eventsourcing library on SQLite, as it comes: a floor for the store."""

    def __init__(self, path):
        names = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path}
        self._factory = InfrastructureFactory.construct(Environment("", names))
        self._recorder = self._factory.application_recorder()
        self._lock = threading.Lock()

    def writer_lock(self, *, check):  # noqa: ARG002 - as the store has it
        return self._lock

    def close(self):
        self._factory.close()


class Writers:
    """Threads that append to one store, each one batch after the other."""

    def __init__(self, store, distribution, batch):
        self._store, self._distribution, self._batch = store, distribution, batch
        self._versions = [0] * STREAMS
        self._data = payload(EVENT_BYTES)
        self._errors = []

    def run(self, writers, seconds):
        latencies = [[] for _ in range(writers)]
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._write, args=(number, began + seconds, into))
            for number, into in enumerate(latencies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        if self._errors:
            raise self._errors[0]
        ordered = sorted(itertools.chain(*latencies))
        found = tuple(percentile(ordered, share) * 1_000 for share in PERCENTILES)
        return Appended(len(ordered) * self._batch / took, found)

    def _write(self, number, until, latencies):
        pick = stream_picker(self._distribution, STREAMS, random.Random(number))
        try:
            while (began := time.monotonic()) < until:
                self._append([pick() for _ in range(self._batch)])
                latencies.append(time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            self._errors.append(error)

    def _append(self, streams):
        """Append an event to each stream, in one durable transaction."""
        with self._store.writer_lock(check=False):
            events = []
            for stream in streams:
                self._versions[stream] += 1
                version = self._versions[stream]
                events.append(StoredEvent(UUID(int=stream + 1), version, "Appended", self._data))
            self._store._recorder.insert_events(events)  # noqa: SLF001 - the store alone


def measure(url, options, results, database):
    for distribution, batch, writers in itertools.product(
        options.distributions, options.batches, options.writers
    ):
        say(f"{database}: {distribution}, {batch} a transaction, {writers} writers")
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            if database == BARE:
                store = Bare(f"{folder}/events.db")
            else:
                store = Store.open(url() if url else f"sqlite:///{folder}/events.db")
            try:
                found = Writers(store, distribution, batch).run(writers, options.seconds)
            finally:
                store.close()
        results.setdefault((distribution, batch, writers), {}).setdefault(database, []).append(
            found
        )


def markdown(results, command):
    """Return a table; ``results`` are by (distribution, batch, writers) and database."""
    lines = ["# Appends to the event store", "", f"{report.machine()}.", "", f"    {command}", ""]
    head = [f"p{share:g} ms" for share in PERCENTILES]
    lines += ["Medians of the rounds, for events/s with the lowest and highest.", ""]
    lines += [f"| streams | batch | writers | store | events/s | {' | '.join(head)} |"]
    lines += ["|" + "---|" * (5 + len(head))]
    for (distribution, batch, writers), databases in results.items():
        for database, rounds in databases.items():
            columns = zip(*(one.latencies for one in rounds), strict=True)
            times = [f"{sorted(of)[len(of) // 2]:,.2f}" for of in columns]
            rate = report.spread([one.rate for one in rounds])
            cells = [distribution, f"{batch:,}", f"{writers}", database, rate, *times]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    stores = ["SQLite", BARE, "PostgreSQL"]
    parser.add_argument("--stores", nargs="+", default=stores, choices=stores)
    shapes = ["flat", "zipf"]
    parser.add_argument("--distributions", nargs="+", default=shapes, choices=shapes)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=WORK / "APPENDS.md")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    results = {}
    for _ in range(options.rounds):
        for database in options.stores:
            if database != "PostgreSQL":
                measure(None, options, results, database)
                continue
            postgres = Postgres(WORK / "postgresql")
            try:
                measure(postgres.empty_database, options, results, database)
            finally:
                postgres.close()
    command = f"python -m benchmarks.contest.appends {shlex.join(sys.argv[1:])}".strip()
    options.output.write_text(markdown(results, command))


if __name__ == "__main__":
    main()
