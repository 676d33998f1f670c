"""The service under test: its processes by part, and how each fault is done to it."""

import os
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.consistency.faults import Fault
from tests.running import Cinelog, environment, eventually

SUPERVISOR, WORKER, WORKERS = "supervisor", "worker", "workers"
PROJECTION, VALKEY = "projection", "valkey"
NUMBER_OF_WORKERS = 2
SETTINGS = {"access_ttl_s": 3600}


class System:
    """``cinelog serve`` with two workers, on the embedded default."""

    parts = (SUPERVISOR, WORKER, WORKERS, PROJECTION, VALKEY)

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(f"victims {seed}")
        self.service = Cinelog(folder / "var", workers=NUMBER_OF_WORKERS, **SETTINGS)
        self.urls = [self.service.url]
        eventually(lambda: len(self.pids(WORKERS)) == NUMBER_OF_WORKERS, 30)

    def kinds(self) -> list[tuple[str, str]]:
        """Return the faults that can be done to it, as pairs of kind and part."""
        return [("kill", part) for part in self.parts]

    def pids(self, part: str) -> list[int]:
        """Return the processes of a part."""
        match part:
            case "supervisor":
                return [self.service.process.pid]
            case "projection":
                return self.service.processes("projection_worker")
            case "valkey":
                return _in_folder(b"valkey-server", self.service.data_dir)
        workers = self.service.processes("api_worker")
        return workers if part == WORKERS or not workers else [self.random.choice(workers)]

    def begin(self, fault: Fault) -> None:
        """Do a fault."""
        for pid in self.pids(fault.part):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if fault.part == SUPERVISOR:
            self._restart()

    def end(self, fault: Fault) -> None:
        """End a fault that lasts."""

    def stop(self) -> None:
        """End every process."""
        self.service.stop()

    def _restart(self) -> None:
        """Start a killed supervisor again, at once, as systemd would."""
        self.service.process.wait()
        self.service.process = subprocess.Popen(
            self.service.process.args,
            env=environment(self.service.data_dir, **SETTINGS),
            stdout=self.service._log,
            stderr=subprocess.STDOUT,
        )


def _in_folder(program: bytes, folder: Path) -> list[int]:
    """Return the processes of a program whose working directory is a folder."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if program in words.read_bytes() and words.with_name("cwd").readlink() == folder:
                found.append(int(words.parent.name))
    return found
