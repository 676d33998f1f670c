"""Soak: load below the peak for a long time; memory and latency must stay as they were.

    .venv/bin/python benchmarks/soak.py [--minutes 30] [--share 0.7] [--workers 2]
        [--event-store URL] [--redis URL] [--json FILE]

Needs wrk (Debian package ``wrk``). 3,200 movies of ``examples/movies.csv``; of ten requests two
change a movie, three list by a filter, two list other pages, two read a movie and one reads its
history. The peak is what 64 connections reach in 20 s; then each connection pauses after a request
so that ``share`` of the peak is sent. The number of movies stays the same: what grows is a leak, or
the log.

Prints one line a minute: requests/s, p50 and p99 in ms, errors, and the memory of each process (PSS
in MB; of pages that are shared each has a share). The first fifth warms caches up. The summary
compares the median of the first third of the rest with that of the last third. Exit code 1: there
was an error, or a process grew by more than 5 %.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.running import PASSWORD, Cinelog, run

CONNECTIONS, PEAK_S, ROUND_S, GROWTH = 64, 20, 60, 0.05
MIX = """
local ids, pause = { %(ids)s }, %(pause)f
local token = "Bearer %(token)s"
local words = { "the", "a", "man", "night", "love", "star", "war", "blue", "king", "day" }
local base, sent = "/api/v1/movies/", 0
local get = { ["Authorization"] = token }
local patch = { ["Authorization"] = token, ["Content-Type"] = "application/json" }

function init()
  math.randomseed(%(seed)d)
end

function delay()
  return pause * (0.5 + math.random())
end

function request()
  sent = sent + 1
  local kind, one = sent %% 10, base .. ids[math.random(#ids)] .. "/"
  if kind < 2 then
    return wrk.format("PATCH", one, patch, '{"year": ' .. math.random(1900, 2026) .. '}')
  elseif kind < 5 then
    local filter = "?title=" .. words[math.random(#words)] .. "&year__gte="
    return wrk.format("GET", base .. filter .. math.random(1900, 2020), get)
  elseif kind < 7 then
    return wrk.format("GET", base .. "?page=" .. math.random(300), get)
  elseif kind < 9 then
    return wrk.format("GET", one, get)
  end
  return wrk.format("GET", one .. "history/", get)
end
"""
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def load(url, seconds, **values):
    """Send the mix for some seconds; return requests/s, p50 and p99 in ms, and errors."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(MIX % values)
        file.flush()
        args = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", file.name]
        out = subprocess.run([*args, url], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    p50, p99 = (
        float(number) * _MS[unit]
        for number, unit in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s|m)\b", out)
    )
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    return {"rate": rate, "p50_ms": p50, "p99_ms": p99, "errors": errors}


def memory_mb(pid):
    """Return the PSS in MB of a process and its descendants, by module and order of start."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        number = int(folder.name)
        parents[number] = int(fields[1])
        name = next((one for one in words if one.startswith(b"service.")), words[0])
        names[number] = re.split(r"[./]", name.decode())[-1].partition(" ")[0]
    found, below = {}, [pid]
    while below:
        one = below.pop()
        with suppress(OSError):
            sizes = Path(f"/proc/{one}/smaps_rollup").read_text()
            kilobytes = int(sizes.partition("\nPss:")[2].split()[0])
            found[f"{names.get(one, '?')} {one}"] = round(kilobytes / 1024, 1)
        below += [child for child, parent in parents.items() if parent == one]
    return dict(sorted(found.items()))


def _soak(cinelog, options):
    """Find the peak, load below it, and return a line for each minute."""
    client = cinelog.client()
    login = {"username": "bench", "password": PASSWORD}

    def token():
        return client.post("/auth/token/", json=login).json()["access"]

    headers = {"Authorization": f"Bearer {token()}"}
    pages = [
        client.get("/movies/", params={"page_size": 100, "page": page}, headers=headers).json()
        for page in range(1, 33)
    ]
    ids = ",".join(f'"{movie["id"]}"' for page in pages for movie in page["results"])
    url = cinelog.url
    load(url, 5, ids=ids, pause=0, token=token(), seed=1)
    peak = load(url, PEAK_S, ids=ids, pause=0, token=token(), seed=2)
    print(f"peak {peak['rate']:,.0f} requests/s, p99 {peak['p99_ms']:.1f} ms", flush=True)
    aim = options.share * peak["rate"]
    pause, minutes = 1000 * CONNECTIONS / aim, []
    for minute in range(options.minutes):
        values = {"ids": ids, "pause": pause, "token": token(), "seed": minute + 3}
        line = load(url, ROUND_S, **values)
        # The pause of a connection is what is left of its turn after the answer.
        pause = max(0.1, pause + 500 * CONNECTIONS * (1 / aim - 1 / line["rate"]))
        line["memory_mb"] = memory_mb(cinelog.process.pid)
        minutes.append(line)
        used = ", ".join(f"{name} {mb}" for name, mb in line["memory_mb"].items())
        print(
            f"{minute + 1:3} {line['rate']:8,.0f}/s  p50 {line['p50_ms']:5.1f}  "
            f"p99 {line['p99_ms']:6.1f}  errors {line['errors']}  {used}",
            flush=True,
        )
    return minutes


def growth(values):
    """Return the growth from the first third to the last, without the first fifth."""
    rest = values[len(values) // 5 :]
    third = max(1, len(rest) // 3)
    return statistics.median(rest[-third:]) / statistics.median(rest[:third]) - 1


def _summary(minutes):
    """Print what grew; return whether the soak passed."""
    errors = sum(line["errors"] for line in minutes)
    print(f"errors {errors}; p99 {growth([line['p99_ms'] for line in minutes]):+.1%}")
    passed = errors == 0
    for name in minutes[-1]["memory_mb"]:
        values = [line["memory_mb"].get(name) for line in minutes]
        if None in values:
            print(f"{name}: began during the soak")
            passed = False
            continue
        grown = growth(values)
        passed &= grown <= GROWTH
        print(f"{name}: {grown:+.1%}")
    return passed


def main():
    """Run the soak; exit with 1 if it did not pass."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--event-store", help="URL; default: SQLite in a temporary directory")
    parser.add_argument("--redis", help="URL; default: the embedded server")
    parser.add_argument("--json", help="also write the lines of the minutes to this file")
    options = parser.parse_args()
    settings = {"event_store_url": options.event_store, "redis_url": options.redis}
    settings = {name: value for name, value in settings.items() if value}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "var"
        with Cinelog(data, workers=options.workers, **settings) as cinelog:
            cinelog.account("bench")
            file = ROOT / "examples" / "movies.csv"
            done = run(data, "import", file, "--as", "bench", "--json", **settings)
            assert done.returncode == 0, done.stderr
            minutes = _soak(cinelog, options)
    if options.json:
        Path(options.json).write_text(json.dumps(minutes, indent=1))
    print(f"{(time.monotonic() - began) / 60:.0f} minutes in all")
    sys.exit(not _summary(minutes))


if __name__ == "__main__":
    main()
