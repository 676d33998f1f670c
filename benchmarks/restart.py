"""Longest interruption after a kill: all workers, the supervisor, the projection, Valkey.

    .venv/bin/python benchmarks/restart.py [--rounds 3] [--workers 2]

One client writes and one lists, each about 50 times a second; both connect again after an error.
Prints for each victim the longest time without a successful write and without a successful list,
over all rounds, and the time of each round. A killed supervisor is restarted at once.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.running import PASSWORD, Cinelog, environment

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}
PAUSE_S, SETTLE_S, LONGEST_S = 0.02, 2.0, 10.0


class Caller(threading.Thread):
    """Sends a request again and again; ``answered`` has the times of the successes."""

    def __init__(self, url, send):
        super().__init__(daemon=True)
        self.url, self.send, self.answered, self.over = url, send, [], False

    def run(self):
        """Send requests until ``over`` is set."""
        client = httpx.Client(base_url=self.url, timeout=2)
        while not self.over:
            try:
                if self.send(client).is_success:
                    self.answered.append(time.monotonic())
            except httpx.TransportError:
                client.close()
                client = httpx.Client(base_url=self.url, timeout=2)
            time.sleep(PAUSE_S)
        client.close()

    def gap_s(self, since):
        """Return the longest time without a success since a moment."""
        times = [since, *(at for at in list(self.answered) if at > since), time.monotonic()]
        return max(after - before for before, after in pairwise(times))


def valkey_processes(service):
    """Return the Valkey processes of a service."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command, folder = words.read_bytes(), words.with_name("cwd").readlink()
            if b"valkey-server" in command and folder == service.data_dir:
                found.append(int(words.parent.name))
    return found


def kill_workers(service):
    for pid in service.processes("api_worker"):
        os.kill(pid, signal.SIGKILL)


def kill_projection(service):
    service.kill("projection_worker")


def kill_valkey(service):
    for pid in valkey_processes(service):
        os.kill(pid, signal.SIGKILL)


def kill_root(service):
    """Kill the supervisor and restart it on its port."""
    service.process.kill()
    service.process.wait()
    service.process = subprocess.Popen(
        service.process.args,
        env=environment(service.data_dir),
        stdout=service._log,  # noqa: SLF001 - the log is continued
        stderr=subprocess.STDOUT,
    )


VICTIMS = {
    "all workers": kill_workers,
    "the root": kill_root,
    "the projection": kill_projection,
    "Valkey": kill_valkey,
}


def measure(service, callers, kill, rounds):
    """Return the gaps of writes and lists, per round."""
    gaps = []
    for _ in range(rounds):
        time.sleep(SETTLE_S)
        began = time.monotonic()
        kill(service)
        while any(not c.answered or c.answered[-1] < began + 0.5 for c in callers):
            if time.monotonic() - began > LONGEST_S:
                break
            time.sleep(0.05)
        time.sleep(0.5)
        gaps.append([caller.gap_s(began) for caller in callers])
    return gaps


def main():
    """Kill each victim in turn and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Cinelog(Path(folder) / "var", workers=options.workers) as service,
    ):
        ann = service.account("ann")
        token = httpx.post(
            f"{service.url}/api/v1/auth/token/", json={"username": "ann", "password": PASSWORD}
        ).json()["access"]
        ann.close()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{service.url}/api/v1"
        write = Caller(url, lambda c: c.post("/movies/", json=ALIEN, headers=headers))
        read = Caller(url, lambda c: c.get("/movies/", headers=headers))
        callers = [write, read]
        for caller in callers:
            caller.start()
        print(
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
            f"{options.workers} workers, {options.rounds} rounds"
        )
        print(f"{'killed':<18}{'write, s':>10}{'list, s':>10}   rounds (write)")
        for name, kill in VICTIMS.items():
            gaps = measure(service, callers, kill, options.rounds)
            writes, lists = zip(*gaps, strict=True)
            each = " ".join(f"{gap:.2f}" for gap in writes)
            print(f"{name:<18}{max(writes):>10.2f}{max(lists):>10.2f}   {each}", flush=True)
        for caller in callers:
            caller.over = True
            caller.join()


if __name__ == "__main__":
    main()
