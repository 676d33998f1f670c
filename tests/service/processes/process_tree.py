"""Process helpers for tests: process trees, and a supervisor with tiny children."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.running import environment, eventually, free_port

ROOT = Path(__file__).parents[3]
SERVE = """
import importlib, json, sys
from commands.errors import CinelogError
from service.settings import Settings
from service.processes.supervisor import serve
settings, constants, before, parts = json.loads(sys.argv[1])
for name, value in constants.items():
    module, _, constant = name.rpartition(".")
    setattr(importlib.import_module(module), constant, value)
before = getattr(importlib.import_module("tests.service.processes.tiny_app"), before) if before else None
try:
    sys.exit(serve(Settings.load(**settings), before, **parts))
except CinelogError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def alive(pid):
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(parent):
    """Return the processes that ``parent`` started, as pid → command line."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                words = stat.with_name("cmdline").read_bytes().decode().split("\0")
                found[int(stat.parent.name)] = " ".join(words)
        except OSError:
            continue
    return found


def descendants(parent):
    """Return all processes below ``parent``."""
    found = children(parent)
    return found | {p: c for child in found for p, c in descendants(child).items()}


def gone(pids, timeout_s=5):
    """Wait until none of ``pids`` runs; return those that still run."""
    until = time.monotonic() + timeout_s
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.01)
    return left


def script(code, *args, **kwargs):
    """Start Python code in a new process and session."""
    env = environment("unset") | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env=env,
        start_new_session=True,
        text=True,
        **kwargs,
    )


class Serving:
    """The supervisor with a tiny API and a tiny projection."""

    def __init__(
        self,
        data_dir,
        *,
        app="create_app",
        projection="tests.service.processes.tiny_projection",
        before=None,
        constants=None,
        **settings,
    ):
        self.data_dir = data_dir
        self.port = settings.setdefault("port", free_port())
        settings = {"data_dir": str(data_dir), "workers": 2} | settings
        parts = {"app": f"tests.service.processes.tiny_app:{app}", "projection": projection}
        arguments = json.dumps([settings, constants or {}, before, parts])
        data_dir.mkdir(exist_ok=True)
        self._log = data_dir.with_suffix(".log")
        with self._log.open("w") as log:
            self.process = script(SERVE, arguments, stdout=log, stderr=log)
        self.pid = self.process.pid

    def ready(self):
        eventually(lambda: "serves on" in self.output() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output()
        return self

    def __enter__(self):
        return self.ready()

    def __exit__(self, *_):
        below = descendants(self.pid)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert gone(below) == []

    def output(self):
        return self._log.read_text()

    def ended(self, timeout_s=10):
        """Wait for the end; return the exit code and the output."""
        return self.process.wait(timeout_s), self.output()

    def get(self, path="/", **kwargs):
        """Send a request on a new connection."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, **kwargs)

    def part(self, name):
        """Return the pid of the only descendant with ``name`` in its command line."""
        found = eventually(lambda: [p for p, c in descendants(self.pid).items() if name in c])
        assert len(found) == 1, found
        return found[0]

    def workers(self):
        """Return the pids of the workers, once all of them answer."""
        return eventually(lambda: len(seen := self._answering()) == 2 and seen)

    def _answering(self):
        return {self.get().json()["pid"] for _ in range(20)}

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)
