"""Requests per second, compared with a bare Sanic worker in the same run.

    .venv/bin/python benchmarks/load.py [--seconds 8] [--rounds 3]

Needs wrk (Debian package ``wrk``). One API worker, 64 connections, 3,200 movies. The bare worker
returns 80 fixed bytes. Prints for each: requests/s, share of the bare worker's, p99, errors,
medians of the rounds; then the memory of each process, and the seconds of start and import.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.running import Cinelog, free_port, run

BARE = """
import sys
from sanic import Sanic
from sanic.response import raw
app = Sanic("bare")
@app.get("/")
async def answer(request):
    return raw(b"x" * 80)
app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, access_log=False, motd=False)
"""
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"title": "Ant Man and The Wasp", "genre": "Action", "year": 2018}'
"""


def wrk(url, seconds, token="", script=""):
    """Load ``url`` from 64 connections; return requests/s, p99 in ms, and errors."""
    args = ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency"]
    if token:
        args += ["-H", f"Authorization: Bearer {token}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        if script:
            args += ["-s", file.name]
        out = subprocess.run([*args, url], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    wrong = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    wrong += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    return rate, float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit], wrong


def memory_by_process(pid):
    """Return the RSS in MB of ``pid`` and its descendants, by name."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(
                line.split(":\t", 1) for line in entry.read_text().splitlines() if ":\t" in line
            )
            args = (entry.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        found[int(facts["Pid"])] = (
            int(facts["PPid"]),
            args,
            int(facts.get("VmRSS", "0 kB").split()[0]) / 1024,
        )
    below = {pid}
    for _ in range(4):
        below |= {child for child, (parent, _, _) in found.items() if parent in below}
    return {
        f"{child} {found[child][1][-60:]}": round(found[child][2], 1)
        for child in below
        if child in found
    }


def main():
    """Load both workers in turn and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    port = free_port()
    bare = subprocess.Popen([sys.executable, "-c", BARE, str(port)], stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "var"
        with Cinelog(data) as first:
            first.account("bench")
            started = time.monotonic()
            done = run(data, "import", ROOT / "examples" / "movies.csv", "--as", "bench", "--json")
            imported_s = time.monotonic() - started
            added = json.loads(done.stdout)["added"]
        started = time.monotonic()
        with Cinelog(data) as cinelog:
            start_s = time.monotonic() - started
            token = (
                cinelog.client()
                .post("/auth/token/", json={"username": "bench", "password": "correct-horse-7"})
                .json()["access"]
            )
            movies = f"{cinelog.url}/api/v1/movies/"
            one = httpx.get(movies, headers={"Authorization": f"Bearer {token}"}).json()["results"][
                0
            ]
            cases = {
                "bare": (f"http://127.0.0.1:{port}/", "", ""),
                "GET /movies/": (movies, token, ""),
                "GET /movies/{id}/": (f"{movies}{one['id']}/", token, ""),
                "GET /movies/?title=the": (f"{movies}?title=the", token, ""),
                "POST /movies/": (movies, token, POST),
            }
            rounds = {name: [] for name in cases}
            for _ in range(options.rounds):
                for name, (url, bearer, script) in cases.items():
                    rounds[name].append(wrk(url, options.seconds, bearer, script))
            used = memory_by_process(cinelog.process.pid)
    bare.terminate()
    bare.wait()
    base = statistics.median(rate for rate, _, _ in rounds["bare"])
    print(f"{os.cpu_count()} cores, 64 connections, {options.rounds} rounds of {options.seconds} s")
    print(f"{'':24}{'requests/s':>12}{'of bare':>9}{'p99 ms':>9}{'errors':>8}")
    for name, results in rounds.items():
        rate = statistics.median(one for one, _, _ in results)
        p99 = statistics.median(one for _, one, _ in results)
        print(f"{name:24}{rate:12,.0f}{rate / base:9.3f}{p99:9.1f}{sum(e for *_, e in results):8}")
    print(f"import of {added:,} movies {imported_s:.2f} s; start to first answer {start_s:.2f} s")
    for name, megabytes in used.items():
        print(f"{megabytes:8.1f} MB  {name}")


if __name__ == "__main__":
    main()
