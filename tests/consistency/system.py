"""The service under test with its stores, and how each fault is done to it."""

import os
import random
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import redis

from tests.consistency.disk import Disk, may_mount
from tests.consistency.faults import (
    BACK,
    CUT,
    FORWARD,
    FULL,
    KILL,
    REBUILD,
    SILENT,
    SLOW,
    STOP,
    WIPE,
    Kind,
)
from tests.consistency.proxy import OPEN, Proxy
from tests.consistency.stores import OutsideRedis, Postgres
from tests.running import COMMAND, Cinelog, environment, eventually

SUPERVISOR, WORKER, WORKERS, PROJECTION = "supervisor", "worker", "workers", "projection"
REDIS, POSTGRES, BACKEND = "redis", "postgres", "backend"
REPLAY = "rebuild"
CLIENTS, SERVICE = "clients", "service"
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_OWN = (SUPERVISOR, WORKER, WORKERS, PROJECTION, REDIS)
_LINKS = (SLOW, SILENT, CUT)
_CLOCKS = {FORWARD: 7200, BACK: -7200}
KINDS = {
    SQLITE: [
        *(Kind(fault, part) for fault in (KILL, STOP) for part in _OWN),
        Kind(KILL, REPLAY),
        *(Kind(fault, CLIENTS) for fault in (SLOW, CUT)),
        *(Kind(fault, SERVICE) for fault in (FORWARD, BACK, FULL)),
        *(Kind(fault, REDIS) for fault in (WIPE, REBUILD)),
    ],
    POSTGRESQL: [
        *(Kind(KILL, part) for part in (*_OWN, POSTGRES, BACKEND, REPLAY)),
        *(Kind(STOP, part) for part in (WORKER, PROJECTION, REDIS, POSTGRES)),
        *(Kind(fault, part) for fault in _LINKS for part in (REDIS, POSTGRES)),
        *(Kind(fault, REDIS) for fault in (WIPE, REBUILD)),
        *(Kind(FULL, part) for part in (SERVICE, REDIS, POSTGRES)),
    ],
}
"""The faults that can be done with each kind of event store."""
SETTINGS = {"access_ttl_s": 3600, "issuer": "https://cinelog.example"}
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def kinds_here(store: str) -> list[Kind]:
    """Return the faults that this machine allows."""
    kinds = KINDS[store]
    if not may_mount():
        kinds = [kind for kind in kinds if kind.fault != FULL]
    if not FAKETIME.exists():
        kinds = [kind for kind in kinds if kind.fault not in _CLOCKS]
    return kinds


class Service(Cinelog):
    """``cinelog serve``, which can be started again."""

    def __init__(
        self, command: Sequence[str], data_dir: Path, workers: int, **settings: object
    ) -> None:
        self.command, self.settings = command, SETTINGS | settings
        super().__init__(data_dir, workers=workers, **self.settings)
        eventually(lambda: len(self.processes("api_worker")) == workers, 30)

    def restart(self) -> None:
        """Start a killed supervisor again, at once, as systemd would."""
        self.process.wait()
        self.process = subprocess.Popen(
            self.process.args,
            env=environment(self.data_dir, **self.settings),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )


class System:
    """``cinelog serve`` on the embedded default or on stores outside."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        kinds: Sequence[Kind],
        store: str = SQLITE,
        *,
        command: Sequence[str] = (str(COMMAND),),
        workers: int = 2,
    ) -> None:
        """Only what the ``kinds`` of faults need is set up; they are those of ``store``."""
        self.command, self.workers = command, workers
        self.random = random.Random(f"victims {seed}")
        self.postgres: Postgres | None = None
        self.redis: OutsideRedis | None = None
        self.disks: dict[str, Disk] = {}
        self.links: dict[str, Proxy] = {}
        self._parts = ExitStack()
        with ExitStack() as parts:
            self._start(parts, folder, store, {*kinds})
            self._parts = parts.pop_all()

    def _start(self, parts: ExitStack, folder: Path, store: str, kinds: set[Kind]) -> None:
        for part in (SERVICE, REDIS, POSTGRES):
            self.disks[part] = Disk(folder / part, own=Kind(FULL, part) in kinds)
            parts.callback(self.disks[part].close)
        settings = {}
        if store == POSTGRESQL:
            self.postgres = Postgres(_folder(self.disks[POSTGRES]))
            parts.callback(self.postgres.close)
            self.redis = OutsideRedis(_folder(self.disks[REDIS]))
            parts.callback(self.redis.close)
            settings = {"event_store_url": self.postgres.url, "redis_url": self.redis.url}
            self.links = {REDIS: self.redis.proxy, POSTGRES: self.postgres.proxy}
        self.clock = folder / "clock"
        faked = any(kind.fault in _CLOCKS for kind in kinds)
        command = [*(_under_clock(self.clock) if faked else ()), *self.command]
        self.service = Service(
            command, self.disks[SERVICE].folder / "var", self.workers, **settings
        )
        parts.callback(self.service.stop)
        self.urls = [self.service.url]
        if any(kind.part == CLIENTS for kind in kinds):
            self.links[CLIENTS] = Proxy(self.service.port)
            parts.callback(self.links[CLIENTS].close)
            self.urls = [f"http://127.0.0.1:{self.links[CLIENTS].port}"]

    def stop(self) -> None:
        """End every process."""
        self._parts.close()

    def pids(self, part: str) -> list[int]:
        """Return the processes of a part; of a worker and a backend, any one."""
        if part == SUPERVISOR:
            return [self.service.process.pid]
        if part == PROJECTION:
            return self.service.processes("projection_worker")
        if part == REDIS:
            return self.redis.pids() if self.redis else _valkey(self.service.data_dir)
        if self.postgres and part in {POSTGRES, BACKEND}:
            pids = self.postgres.pids() if part == POSTGRES else self.postgres.backends()
        else:
            pids = self.service.processes("api_worker")
        return [self.random.choice(pids)] if pids and part in {WORKER, BACKEND} else pids

    def begin(self, kind: Kind) -> None:
        """Do a fault."""
        match kind.fault:
            case "kill" if kind.part == REPLAY:
                self._kill_rebuild()
            case "kill":
                self._signal(kind.part, signal.SIGKILL)
                self._restart(kind.part)
            case "stop":
                self._stopped = self._signal(kind.part, signal.SIGSTOP)
            case "slow" | "silent" | "cut":
                self.links[kind.part].set(kind.fault)
            case "forward" | "back":
                self.clock.write_text(f"{_CLOCKS[kind.fault]:+d}")
            case "full":
                self.disks[kind.part].fill()
            case "wipe":
                self._wipe()
            case "rebuild":
                done = self.run("rebuild")
                if done.returncode:
                    raise AssertionError(f"rebuild: {done.stdout}{done.stderr}")

    def end(self, kind: Kind) -> None:
        """End a fault that lasts."""
        match kind.fault:
            case "stop":
                for pid in self._stopped:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            case "slow" | "silent" | "cut":
                self.links[kind.part].set(OPEN)
            case "forward" | "back":
                self.clock.write_text("+0")
            case "full":
                self.disks[kind.part].free()
                self._restart(kind.part)  # a full disk ends PostgreSQL

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``cinelog`` beside the service."""
        env = environment(self.service.data_dir, **self.service.settings)
        return subprocess.run(
            [*self.command, command], env=env, check=False, capture_output=True, text=True
        )

    def _signal(self, part: str, number: int) -> list[int]:
        pids = self.pids(part)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def _restart(self, part: str) -> None:
        """Start again what nobody else would."""
        if part == SUPERVISOR:
            self.service.restart()
        elif part == REDIS and self.redis:
            self.redis.restart()
        elif part == POSTGRES and self.postgres:
            self.postgres.restart()

    def _kill_rebuild(self) -> None:
        """Start ``cinelog rebuild`` and kill it, most often while it builds."""
        env = environment(self.service.data_dir, **self.service.settings)
        with subprocess.Popen([*self.command, "rebuild"], env=env, stdout=subprocess.PIPE) as one:
            with suppress(subprocess.TimeoutExpired):
                one.wait(self.random.uniform(0.3, 1.5))
            one.kill()

    def _wipe(self) -> None:
        socket = self.redis.socket if self.redis else self.service.data_dir / "redis.sock"
        with redis.Redis(unix_socket_path=str(socket)) as client:
            client.flushall()


def _folder(disk: Disk) -> Path:
    """Return a new folder on a disk."""
    folder = disk.folder / "data"
    folder.mkdir()
    return folder


def _under_clock(clock: Path) -> list[str]:
    """Return a command line that starts a program whose clock is moved by what a file says."""
    clock.write_text("+0")
    variables = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": clock,
        "FAKETIME_CACHE_DURATION": 1,
        "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        "FAKETIME_DISABLE_SHM": 1,
    }
    return ["env", *(f"{name}={value}" for name, value in variables.items())]


def _valkey(folder: Path) -> list[int]:
    """Return the embedded Valkey of a data directory."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command, place = words.read_bytes(), words.with_name("cwd").readlink()
            if b"valkey-server" in command and place == folder:
                found.append(int(words.parent.name))
    return found
