"""Duration of calls while a store hangs, and time to recovery afterwards.

    .venv/bin/python benchmarks/outages.py [--stopped 8]

Stops Valkey, then PostgreSQL, with SIGSTOP, sends eight writes at once and calls of each kind one
after the other, and resumes the store. Prints the longest durations of the first and of later
calls, their statuses, and the time from the end of the fault to the first success.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pgserver

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.running import PASSWORD, Cinelog

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


def descendants(parent):
    """Return a process and all its descendants."""
    found = [parent]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found += descendants(int(stat.parent.name))
        except OSError:
            continue
    return found


def valkey_processes(folder):
    """Return the Valkey processes that run in a folder."""
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            name = (cwd.parent / "cmdline").read_bytes().split(b"\0")[0]
            if b"valkey-server" in name and cwd.resolve() == folder:
                found.append(int(cwd.parent.name))
        except OSError:
            continue
    return found


def timed(send):
    """Return the duration of a call and its status."""
    start = time.monotonic()
    try:
        status = str(send().status_code)
    except httpx.TransportError as error:
        status = type(error).__name__
    return time.monotonic() - start, status


def measure(store, pids, calls, write, stopped_s):
    """Stop a store, send calls, resume it, and print a row for each kind of call."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + stopped_s
    try:
        with ThreadPoolExecutor(8) as pool:
            rush = list(pool.map(lambda _: timed(write), range(8)))
        print(f"{store} stopped: 8 writes at once: longest {max(rush)[0]:.2f} s, {rush[0][1]}")
        for name, send in calls.items():
            first = timed(send)
            later = [timed(send) for _ in range(3)]
            print(f"  {name:10} first {first[0]:.2f} s {first[1]}, later {max(later)[0]:.3f} s")
        time.sleep(max(0.0, until - time.monotonic()))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    start = time.monotonic()
    for name, send in {"write": write, **calls}.items():
        while timed(send)[1] not in {"200", "201"} and time.monotonic() - start < 30:
            time.sleep(0.02)
        print(f"  {name:10} answered {time.monotonic() - start:.2f} s after the end")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stopped", type=float, default=8.0, help="Seconds for which each hangs.")
    stopped_s = parser.parse_args().stopped
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "var"
        server = pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
        postgres = int((Path(folder) / "pg" / "postmaster.pid").read_text().split()[0])
        with Cinelog(data, workers=2, event_store_url=server.get_uri()) as service:
            ann = service.account("ann")
            ann.timeout = 30
            movie = ann.post("/movies/", json=ALIEN).json()["id"]
            credentials = {"username": "ann", "password": PASSWORD}
            calls = {
                "list": lambda: ann.get("/movies/"),
                "movie": lambda: ann.get(f"/movies/{movie}/"),
                "sign-in": lambda: ann.post("/auth/token/", json=credentials),
                "readyz": lambda: httpx.get(f"{service.url}/readyz", timeout=30),
            }

            def write():
                return httpx.post(
                    f"{service.url}/api/v1/movies/",
                    json=ALIEN,
                    headers={"Authorization": f"Bearer {ann.pair['access']}"},
                    timeout=30,
                )

            measure("Valkey", valkey_processes(data.resolve()), calls, write, stopped_s)
            time.sleep(2)
            measure("PostgreSQL", descendants(postgres), calls, write, stopped_s)


if __name__ == "__main__":
    main()
