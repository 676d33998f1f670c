"""How much more two workers do than one: lists, filters and single movies.

    .venv/bin/python benchmarks/workers.py [--movies 100000] [--seconds 4] [--rounds 3]

Needs wrk (Debian package ``wrk``). Two services, with one worker and with two, each on
its own copy of a log in SQLite and its own Valkey; wrk loads them in turn, with 64 connections for
each worker. wrk and the service share the cores, so what wrk takes is taken out: by the processor
time of a request, one worker is at its limit when it fills a core, and two when they fill a core
each, or together with Valkey and the projection all cores.
"""

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks.lists import children, write_log
from benchmarks.node import cases, seconds_of, wrk
from tests.running import Cinelog, eventually

KINDS = ("first page", "random page", "one movie", "new filter")
CORES = 2


class Round(NamedTuple):
    """Seconds, requests, and seconds of processor time of each part."""

    took: float
    requests: int
    errors: int
    workers: float
    others: float
    """Valkey and the projection."""

    @property
    def rate(self):
        return self.requests / self.took

    def possible(self, count):
        """Return the requests/s of ``count`` workers that share the cores with all but wrk."""
        of_one = (self.workers + self.others) / self.requests
        return min(CORES / of_one, count * self.requests / self.workers)


def load(cinelog, token, script, connections, seconds):
    """Load one service for some seconds."""
    pids = {True: [], False: []}
    for pid in children(cinelog.process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:6]
        pids[any(b"api_worker" in word for word in words)].append(pid)
    before = {is_worker: seconds_of(some) for is_worker, some in pids.items()}
    began = time.monotonic()
    requests, errors = wrk(cinelog.url + "/", token, script, connections, seconds)
    took = time.monotonic() - began
    used = {is_worker: seconds_of(some) - before[is_worker] for is_worker, some in pids.items()}
    return Round(took, requests, errors, used[True], used[False])


def main():
    """Measure both services in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--movies", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rng, found = random.Random(1), {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        titles = write_log(Path(folder) / "events.db", options.movies, rng)
        services = {}
        for count in (1, 2):
            data = Path(folder) / f"var{count}"
            data.mkdir(mode=0o700)
            shutil.copy(Path(folder) / "events.db", data)
            one = stack.enter_context(Cinelog(data, workers=count, access_ttl_s=3600))
            client = one.account("bench")
            eventually(lambda client=client: client.get("/movies/").is_success, timeout_s=600)
            services[count] = one, client
        time.sleep(5)
        scripts = cases(services[1][1], titles, rng, folder)
        for _ in range(options.rounds):
            for kind in KINDS:
                for count, (one, client) in services.items():
                    connections = options.connections * count
                    token = client.pair["access"]
                    line = load(one, token, scripts[kind], connections, options.seconds)
                    found.setdefault((kind, count), []).append(line)
    print("| request | one worker | two | times | without wrk: one | two | times | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        rates, possible = (
            [statistics.median(of(line, n) for line in found[kind, n]) for n in (1, 2)]
            for of in (lambda line, _: line.rate, Round.possible)
        )
        errors = sum(line.errors for n in (1, 2) for line in found[kind, n])
        print(
            f"| {kind} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[1] / rates[0]:.2f} |"
            f" {possible[0]:,.0f} | {possible[1]:,.0f} | {possible[1] / possible[0]:.2f} |"
            f" {errors} |"
        )


if __name__ == "__main__":
    main()
