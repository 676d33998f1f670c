"""Lists, filters, single movies and writes among many movies, beside a bare Sanic worker.

    .venv/bin/python benchmarks/lists.py [--movies 3200 1000000] [--seconds 4] [--rounds 2]

Needs wrk (Debian package ``wrk``). For each size: a log whose titles are recombined from the words
of ``examples/movies.csv``, written straight into SQLite; the service with two workers. Latencies
are those of one client on one connection, 5 s after a start, and of 16 clients that ask different
filters (40 % three letters, 20 % one letter, 20 % years, 20 % nothing found). Throughput is that of
wrk, 16 connections, in turn with a bare Sanic server of two workers. The lag is the time from the
answer to a write that does not wait to the answer of a list that shows it, while wrk writes through
16 connections. All figures come from one run.
"""

import argparse
import asyncio
import csv
import json
import os
import random
import re
import sqlite3
import statistics
import string
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import uuid_utils.compat

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from tests.running import Cinelog, eventually, free_port

BARE = """
import sys
from sanic import Sanic
from sanic.response import raw
app = Sanic("bare")
@app.get("/", name="get")
@app.post("/post", name="post")
async def answer(request):
    return raw(b"x" * 80)
if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), workers=2, access_log=False, motd=False)
"""
PATHS = """
local paths, i = {}, 0
for line in io.lines("%s") do paths[#paths + 1] = line end
request = function()
  i = i + 1
  return wrk.format("GET", paths[i %% #paths + 1])
end
"""
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"title": "Ant Man and The Wasp", "genre": "Action", "year": 2018}'
"""


def write_log(path, count, rng):
    """Write the log; return the titles."""
    with (ROOT / "examples" / "movies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    words = [word for row in rows for word in row["title"].split()]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    titles = []

    def events():
        nonlocal moment
        account = uuid_utils.compat.uuid7()
        names = {"username": "owner", "email": "x@example.org", "password_hash": "x"}
        names |= {"first_name": "", "last_name": "", "originator_topic": "User"}
        yield account.hex, 1, "UserRegistered", orjson.dumps({"timestamp": rfc3339(moment)} | names)
        about = {"originator_topic": "Movie", "class_version": 2, "by": str(account)}
        for _ in range(count):
            moment += timedelta(milliseconds=1)
            row = rng.choice(rows)
            title = " ".join(rng.choices(words, k=rng.choice([1, 2, 2, 3, 3, 4])))[:100]
            titles.append(title)
            fields = {"title": title, "genre": row["genre"] or "Drama"}
            fields |= {"year": int(row["year"] or 1990), "timestamp": rfc3339(moment)}
            state = orjson.dumps(fields | about | {"request_id": "bench"})
            yield uuid_utils.compat.uuid7().hex, 1, "MovieCreated", state

    Store.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " VALUES (?, ?, ?, ?)",
            events(),
        )
    connection.close()
    return titles


def filters(titles, rng):
    """Return endless queries by kind, each of them different."""
    letters = [
        a
        for a in string.ascii_lowercase + string.digits
        if any(a in t.lower() for t in titles[:2000])
    ]
    rng.shuffle(letters)

    def three():
        # With a year each: three letters alone would soon be asked again.
        seen = set()
        while True:
            title = rng.choice(titles).lower()
            part = title[(at := rng.randrange(max(1, len(title) - 2))) : at + 3]
            if len(part) == 3 and part.isascii() and part.isalpha():
                years = f"&year__gte={rng.randint(1, 1900)}" if part in seen else ""
                seen.add(part)
                yield f"title={part}{years}"

    def one():
        for number in range(10**6):
            letter = letters[number % len(letters)]
            years = f"&year__gte={number // len(letters)}" if number >= len(letters) else ""
            yield f"title={letter}{years}"

    def nothing():
        while True:
            yield "title=" + "".join(rng.choices("zxqj", k=6))

    def years():
        while True:
            first = rng.randint(1900, 2010)
            yield f"year__gte={first}&year__lte={first + rng.randint(0, 30)}"

    return {"three letters": three(), "one letter": one(), "nothing": nothing(), "years": years()}


class Client:
    """One connection that sends GET requests."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    async def get(self, path):
        """Return the milliseconds of an answer, and its body."""
        if not hasattr(self, "writer"):
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        began = time.perf_counter()
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
        body = await self.reader.readexactly(size)
        took_ms = (time.perf_counter() - began) * 1000
        assert head.startswith(b"HTTP/1.1 200"), head
        return took_ms, body


def percentiles(took):
    took = sorted(took)
    return f"{statistics.median(took):8.2f}{took[int(len(took) * 0.99)]:9.2f}{took[-1]:9.2f}"


async def latencies(port, token, titles, rng):
    """Print the latencies of each kind."""
    client, kinds = Client(port, token), filters(titles, rng)
    base = "/api/v1/movies/"
    for _ in range(20):
        await client.get(f"{base}?page_size=1")
    print(f"    {'one client, ms':34}{'p50':>8}{'p99':>9}{'most':>9}")
    for kind, queries in kinds.items():
        took = [(await client.get(f"{base}?{next(queries)}"))[0] for _ in range(60)]
        print(f"    new filter, {kind:22}{percentiles(took)}")
    part = next(kinds["three letters"])
    _, body = await client.get(f"{base}?{part}")
    last = max(1, json.loads(body)["count"] // 10)
    for label, ordering in (
        ("", ""),
        (" by title", "&ordering=title"),
        (" by year", "&ordering=-year"),
    ):
        took = []
        for _ in range(60):
            page = rng.randint(1, last)
            took.append((await client.get(f"{base}?{part}{ordering}&page={page}"))[0])
        print(f"    {'the same again' + label + ', any page':34}{percentiles(took)}")
    took = []
    for ordering in ("title", "-title", "year", "genre,-title", "creator", "id"):
        took.append(
            (
                await client.get(
                    f"{base}?ordering={ordering}&page={rng.randint(1, len(titles) // 10)}"
                )
            )[0]
        )
    print(f"    {'all by a new ordering, any page':34}{percentiles(took)}")

    async def ask(until):
        mine, took = Client(port, token), []
        while time.perf_counter() < until:
            kind = rng.choice(["three letters"] * 2 + ["one letter", "nothing", "years"])
            took.append((await mine.get(f"{base}?{next(kinds[kind])}"))[0])
        return took

    until = time.perf_counter() + 5
    asked = await asyncio.gather(*(ask(until) for _ in range(16)))
    took = [one for some in asked for one in some]
    label, rate = "16 clients, different filters", len(took) / 5
    print(f"    {label:34}{percentiles(took)}   {rate:,.0f} requests/s")


def wrk(url, seconds, token="", script=""):
    args = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency"]
    if token:
        args += ["-H", f"Authorization: Bearer {token}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        out = subprocess.run(
            [*args, *(["-s", file.name] if script else []), url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    wrong = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    wrong += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    return rate, float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit], wrong


def throughput(cinelog, token, titles, rng, folder, options, bare_port):
    """Print requests/s of each kind, in turn with the bare server."""
    base = "/api/v1/movies/"
    kinds = filters(titles, rng)
    pages = len(titles) // 10
    ids = []
    for _ in range(20):
        answer = cinelog.client(token).get(
            f"/movies/?page_size=100&page={rng.randint(1, max(1, pages // 10))}"
        )
        ids += [row["id"] for row in answer.json()["results"]]
    lists = {
        "random page": [f"{base}?page={rng.randint(1, pages)}" for _ in range(20_000)],
        "one at random": [f"{base}{one}/" for one in ids],
        "filter at random": [
            f"{base}?{next(kinds['three letters' if n % 2 else 'years'])}" for n in range(3_000)
        ],
    }
    cases = {
        "bare GET": (f"http://127.0.0.1:{bare_port}/", "", ""),
        "bare POST": (f"http://127.0.0.1:{bare_port}/post", "", POST),
        "first page": (cinelog.url + base, token, ""),
        "filter repeated": (f"{cinelog.url}{base}?title=man", token, ""),
    }
    for name, paths in lists.items():
        file = Path(folder) / f"{name.replace(' ', '-')}.txt"
        rng.shuffle(paths)
        file.write_text("\n".join(paths))
        cases[name] = (cinelog.url, token, PATHS % file)
    cases["create"] = (cinelog.url + base, token, POST)
    rounds = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, (url, bearer, script) in cases.items():
            rounds[name].append(wrk(url, options.seconds, bearer, script))
    rates = {name: statistics.median(r[0] for r in results) for name, results in rounds.items()}
    print(
        f"    {'wrk, 16 connections':24}{'requests/s':>12}{'of bare':>9}{'p99 ms':>9}{'errors':>8}"
    )
    for name, results in rounds.items():
        bare = rates["bare POST" if name == "create" else "bare GET"]
        p99 = statistics.median(one for _, one, _ in results)
        wrong = sum(one for *_, one in results)
        print(f"    {name:24}{rates[name]:12,.0f}{rates[name] / bare:9.3f}{p99:9.1f}{wrong:8}")


def lag(cinelog, token, seconds):
    """Print how long after its answer a write is in lists, while others write at the peak rate."""
    client, took = cinelog.client(token), []
    with ThreadPoolExecutor(1) as threads:
        load = threads.submit(wrk, f"{cinelog.url}/api/v1/movies/", seconds, token, POST)
        time.sleep(0.5)
        while not load.done():
            body = {"title": "Alien", "genre": "Horror", "year": 1979}
            answer = client.post("/movies/", json=body, headers={"Prefer": "respond-async"})
            began = time.perf_counter()
            least = {"Min-Event-Position": answer.headers["Event-Position"]}
            client.get("/movies/?page_size=1", headers=least).raise_for_status()
            took.append((time.perf_counter() - began) * 1000)
    print(f"    {f'written to listed, ms, at {load.result()[0]:,.0f}/s':34}{percentiles(took)}")


def rss_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *children(int(child))]
    return found


def measure(count, options, bare_port):
    rng = random.Random(count)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "var"
        data.mkdir(mode=0o700)
        titles = write_log(data / "events.db", count, rng)
        began = time.monotonic()
        settings = {"workers": 2, "api_rate": "off", "write_wait_ms": 5000}
        with Cinelog(data, **settings) as cinelog:
            ann = cinelog.account("bench")
            eventually(lambda: ann.get("/movies/").is_success, timeout_s=600)
            built_s = time.monotonic() - began
        began = time.monotonic()
        with Cinelog(data, **settings) as cinelog:
            ready_s = time.monotonic() - began
            body = {"username": "bench", "password": "correct-horse-7"}
            token = cinelog.client().post("/auth/token/", json=body).json()["access"]
            client = cinelog.client(token)
            eventually(lambda: client.get("/movies/").is_success, timeout_s=60)
            first_s = time.monotonic() - began
            used = cinelog.redis().info("memory")["used_memory"]
            time.sleep(5)  # a worker that starts goes on to build the indexes of titles
            print(f"{count:,} movies")
            print(
                f"    first projection {built_s:.1f} s; a restart is ready after {ready_s:.2f} s,"
                f" lists after {first_s:.2f} s; Redis {used / count:,.0f} bytes a movie"
            )
            asyncio.run(latencies(int(cinelog.url.rpartition(":")[2]), token, titles, rng))
            throughput(cinelog, token, titles, rng, folder, options, bare_port)
            lag(cinelog, token, options.seconds)
            commands = cinelog.redis().slowlog_get(1000)
            longest = max((one["duration"] for one in commands), default=0) / 1000
            print(
                f"    longest Redis command {longest:.1f} ms (slower than 10 ms: {len(commands)})"
            )
            for pid in children(cinelog.process.pid):
                name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                print(f"    {rss_mb(pid):8.0f} MB  {name[-60:]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--movies", type=int, nargs="+", default=[3_200, 1_000_000])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(BARE)
        file.flush()
        bare = subprocess.Popen(
            [sys.executable, file.name, str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # if it fails, it kills its group
        )
        try:
            time.sleep(2)
            print(f"{os.cpu_count()} cores, {options.rounds} rounds of {options.seconds} s")
            for count in options.movies:
                measure(count, options, port)
        finally:
            bare.terminate()
            bare.wait()


if __name__ == "__main__":
    main()
