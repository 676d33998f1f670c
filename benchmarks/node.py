"""What a request costs each part of a node, and what a movie takes in each part.

    .venv/bin/python benchmarks/node.py [--movies 100000 1000000] [--seconds 4] [--rounds 3]

Needs wrk (Debian package ``wrk``). For each size: a log in PostgreSQL, one API worker, the embedded
Valkey, 64 connections. Printed are requests/s and the processor time of each part for a request, in
microseconds (medians of the rounds): these add up over nodes, while the rate depends on the cores
that the parts and wrk share. ``benchmarks/capacity.py`` uses them.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pgserver
import psutil
import psycopg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks.lists import PATHS, POST, children, filters, write_log
from commands.event_store.store import Store
from tests.running import Cinelog, eventually

PARTS = {"api_worker": "API worker", "projection_worker": "projection", "valkey": "Valkey"}
POSTGRES = "PostgreSQL"
BATCH = 10_000


class Round(NamedTuple):
    """Requests/s, those that failed, and microseconds of each part for a request."""

    rate: float
    errors: int
    parts: dict[str, float]


def copy_log(path, url):
    """Write the log of a SQLite file to PostgreSQL."""
    source, target = Store.open(f"sqlite:///{path}"), Store.open(url)

    def batches():
        after = 0
        while batch := source.read_raw(after, BATCH, 2**62):
            after = batch[-1].position
            yield batch

    target.restore(batches())
    source.close()
    target.close()


def seconds_of(pids, *, and_ended=False):
    """Return the processor time of processes, and of the children that they had."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11 : 15 if and_ended else 13]))
    return total / os.sysconf("SC_CLK_TCK")


class Node:
    """The processes of a node, by part."""

    def __init__(self, cinelog, server):
        self._server = server
        self.pids = {name: [] for name in PARTS.values()}
        for pid in children(cinelog.process.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            for part, name in PARTS.items():
                if any(part in word for word in words[:6]):
                    self.pids[name].append(pid)

    def seconds(self):
        """Return the processor time of each part so far."""
        found = {name: seconds_of(pids) for name, pids in self.pids.items()}
        postmaster = self._server.get_pid()
        backends = [child.pid for child in psutil.Process(postmaster).children()]
        found[POSTGRES] = seconds_of(backends) + seconds_of([postmaster], and_ended=True)
        return found

    def memory_mb(self, name):
        """Return the memory of a part that it shares with no other process."""
        return sum(psutil.Process(pid).memory_full_info().uss for pid in self.pids[name]) / 2**20


def wrk(url, token, script, connections, seconds):
    """Return the number of requests and of errors."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", file.name]
        words += ["-H", f"Authorization: Bearer {token}", url]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    errors += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    return int(re.search(r"(\d+) requests in", text)[1]), errors


def cases(client, titles, rng, folder):
    """Return the paths and the script of each kind of request."""
    base, pages = "/api/v1/movies/", max(1, len(titles) // 10)
    ids = []
    for _ in range(20):
        page = client.get(
            "/movies/", params={"page_size": 100, "page": rng.randint(1, pages // 10)}
        )
        ids += [row["id"] for row in page.json()["results"]]
    kinds = filters(titles, rng)
    paths = {
        "first page": [base],
        "random page": [f"{base}?page={rng.randint(1, pages)}" for _ in range(5_000)],
        "one movie": [f"{base}{one}/" for one in ids],
        "new filter": [
            f"{base}?{next(kinds['three letters' if n % 2 else 'years'])}" for n in range(3_000)
        ],
        "history": [f"{base}{one}/history/" for one in ids],
    }
    found = {}
    for name, some in paths.items():
        file = Path(folder) / f"{name.replace(' ', '-')}.txt"
        file.write_text("\n".join(some))
        found[name] = PATHS % file
    return found | {"create": POST}


def measure(movies, options):
    rng = random.Random(movies)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        data = Path(folder) / "var"
        data.mkdir(mode=0o700)
        titles = write_log(Path(folder) / "log.db", movies, rng)
        server = pgserver.get_server(Path(folder) / "postgresql", cleanup_mode="stop")
        url = server.get_uri()
        copy_log(Path(folder) / "log.db", url)
        settings = {"workers": 1, "api_rate": "off", "write_wait_ms": 5000, "event_store_url": url}
        settings |= {"access_ttl_s": 3600}
        began = time.monotonic()
        with Cinelog(data, **settings) as cinelog:
            client = cinelog.account("bench")
            eventually(lambda: client.get("/movies/").is_success, timeout_s=900)
            print(f"{movies:,} movies: first projection {time.monotonic() - began:.1f} s")
            redis = cinelog.redis().info("memory")["used_memory"]
            node = Node(cinelog, server)
            with psycopg.connect(url) as connection:
                row = connection.execute(
                    "SELECT pg_total_relation_size('cinelog_events'), count(*) FROM cinelog_events"
                ).fetchone()
            time.sleep(5)
            print(f"    Redis {redis / movies:,.0f} bytes a movie")
            print(f"    log {row[0] / row[1]:,.0f} bytes an event")
            print(f"    API worker {node.memory_mb('API worker'):,.0f} MB")
            rounds = {}
            for _ in range(options.rounds):
                for name, script in cases(client, titles, rng, folder).items():
                    path = "/api/v1/movies/" if name == "create" else "/"
                    before = node.seconds()
                    began = time.monotonic()
                    requests, errors = wrk(
                        cinelog.url + path,
                        client.pair["access"],
                        script,
                        options.connections,
                        options.seconds,
                    )
                    took = time.monotonic() - began
                    after = node.seconds()
                    parts = {one: (after[one] - before[one]) / requests * 1e6 for one in after}
                    rounds.setdefault(name, []).append(Round(requests / took, errors, parts))
        server.cleanup()
    heads = [*PARTS.values(), POSTGRES]
    print("    | request | requests/s |" + "".join(f" {one} us |" for one in heads) + " errors |")
    print("    |" + "---|" * (3 + len(heads)))
    for name, found in rounds.items():
        cells = [f"{statistics.median(one.parts[part] for one in found):.0f}" for part in heads]
        rate = statistics.median(one.rate for one in found)
        errors = sum(one.errors for one in found)
        print(f"    | {name} | {rate:,.0f} | {' | '.join(cells)} | {errors} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "var")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    for movies in options.movies:
        measure(movies, options)


if __name__ == "__main__":
    main()
