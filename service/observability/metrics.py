"""What an API process counts for ``/metrics``, added up over all processes.

The files are those of ``prometheus_client``'s multi-process mode, but named by a slot and not by a
process id: the first slot that no living process holds. A process that takes the slot of a dead one
continues its counts, so no sum goes down and no files pile up. The first process, if no other is
alive, starts from zero.

On a full disk a store into a page without a block would kill the process with SIGBUS. So the files
are allocated before they are mapped, and never grow: every label comes from a fixed set, and there
are at most ``MAX_LABEL_SETS`` of them. Without space, counts wait in memory.
"""

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, values
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from commands.errors import BusyError, ThrottledError
from commands.event_store.replica import PRIMARY, REPLICA
from commands.execution.executor import CommittedBatch
from commands.execution.group_commit import CommandResult
from service.durable_file import replacing

DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LIMITS = ("login", "login-address", "api", "streams", "filters", "passwords")
MIRROR_BYTES = "mirror_bytes"
DISK_FULL = "event_store_disk_full"
MAX_LABEL_SETS = 500
_OTHER = ("other", "other", "0")
_MAX_WAITING = 10_000
_SLOTS = 1_024
_FILE_BYTES = {"counter": 1 << 16, "gauge_livesum": 1 << 16, "histogram": 5 << 19}


class _Slot(Collector):
    """The files of this process, and the sums over those of all processes in the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._everyone = (folder / "lock").open("ab")
        with suppress(BlockingIOError):
            fcntl.flock(self._everyone, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in folder.glob("*.db"):
                file.unlink()
        # Files are created only under this lock: no process deletes those of a living one.
        fcntl.flock(self._everyone, fcntl.LOCK_SH)
        self.number, self._lock = self._take()
        self._values: Any = None

    def _take(self) -> tuple[int, IO[bytes]]:
        for number in range(1, _SLOTS + 1):
            lock = (self._folder / f"slot-{number}").open("ab")
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return number, lock
            lock.close()
        raise OSError(f"{_SLOTS} processes already count in {self._folder}")

    def _allocate(self) -> None:
        for kind, size in _FILE_BYTES.items():
            path = self._folder / f"{kind}_{self.number}.db"
            if not path.exists():
                with replacing(path) as file:
                    file.write(bytes(size))

    def open(self) -> None:
        """Keep the values of all metrics made from now on in the files of this slot.

        Raises OSError without space on disk.
        """
        self._allocate()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder)
        self._values = values.MultiProcessValue(lambda: self.number)  # type: ignore[no-untyped-call]
        values.ValueClass = self._values

    def collect(self) -> Iterable[Metric]:
        """Return the sums over all processes; the gauges of dead ones do not count."""
        gauges = [file for file in self._folder.glob("gauge*.db") if self._is_alive(file)]
        others = [file for file in self._folder.glob("*.db") if not file.match("gauge*")]
        return _sums(gauges + others)

    def _is_alive(self, file: Path) -> bool:
        return _slot_of(file) == str(self.number) or _is_held(file)

    def close(self) -> None:
        """Close the files and release the slot."""
        if self._values:
            self._values.close_all_files()
        self._lock.close()
        self._everyone.close()


def sum_of_gauge(folder: Path, name: str) -> int | None:
    """Return the sum of a gauge over all API processes of a data directory, None without any."""
    files = [file for file in folder.glob("gauge*.db") if _is_held(file)]
    if not files:
        return None
    samples = (one for metric in _sums(files) for one in metric.samples)
    return int(sum(one.value for one in samples if one.name == name))


def _sums(files: Iterable[Path]) -> Iterable[Metric]:
    names = sorted(map(str, files))
    sums: Iterable[Metric] = MultiProcessCollector.merge(names)  # type: ignore[no-untyped-call]
    return sums


def _slot_of(file: Path) -> str:
    return file.stem.rpartition("_")[2]


def _is_held(file: Path) -> bool:
    """Return whether a living process holds the slot of a file."""
    with suppress(FileNotFoundError), (file.parent / f"slot-{_slot_of(file)}").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class _Instruments:
    """The metrics of this process, made once there is space for their files."""

    def __init__(self) -> None:
        self.requests = Histogram(
            "cinelog_request_duration_seconds",
            "Time from a request's head to its answer.",
            ("route", "method", "status"),
            buckets=DURATIONS_S,
            registry=None,
        )
        self.commits = Histogram(
            "cinelog_commit_commands",
            "Commands carried out together.",
            buckets=COMMANDS,
            registry=None,
        )
        self.throttled = _counter("throttled", "Requests refused by a rate limit.", ["limit"])
        for limit in LIMITS:
            self.throttled.labels(limit)
        self.busy = _counter("busy", "Requests refused because a queue was full.")
        self.turned_away = _counter(
            "connections_turned_away", "Connections refused because too many were open."
        )
        self.lines_lost = _counter(
            "log_lines_lost", "Log lines dropped because the log was blocked."
        )
        self.log_reads = _counter("log_reads", "Reads of the log, by server.", ["server"])
        for server in (PRIMARY, REPLICA):
            self.log_reads.labels(server)
        self.events = _counter("events_appended", "Events appended by the API.")
        self._gauges: dict[str, Gauge] = {}

    def gauge(self, name: str, about: str) -> Gauge:
        """Return the gauge ``name``, which counts for as long as this process lives."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(
                f"cinelog_{name}", about, registry=None, multiprocess_mode="livesum"
            )
        return self._gauges[name]


def _counter(name: str, about: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(f"cinelog_{name}", about, labels, registry=None)


class Metrics:
    """The counts of an API process, and the sums of all."""

    def __init__(self, folder: Path) -> None:
        self._slot = _Slot(folder)
        self._instruments: _Instruments | None = None
        self._waiting: deque[Callable[[_Instruments], object]] = deque(maxlen=_MAX_WAITING)
        self._gauges: list[tuple[str, str, Callable[[], float]]] = []
        self._label_sets: set[tuple[str, str, str]] = set()
        self.sample()

    def observe(self, route: str, method: str, status: int, took_s: Sequence[float]) -> None:
        """Count answered requests; ``route`` is a template, ``method`` one of a few."""
        labels = (route, method, str(status))
        if labels not in self._label_sets:
            if len(self._label_sets) >= MAX_LABEL_SETS:
                labels = _OTHER
            self._label_sets.add(labels)

        def record(instruments: _Instruments) -> None:
            histogram = instruments.requests.labels(*labels)
            for one_s in took_s:
                histogram.observe(one_s)

        self._record(record)

    def refused(self, error: BaseException) -> None:
        """Count a request that a rate limit or a full queue refused."""
        if isinstance(error, ThrottledError):
            limit = error.limit
            self._record(lambda instruments: instruments.throttled.labels(limit).inc())
        elif isinstance(error, BusyError):
            self._record(lambda instruments: instruments.busy.inc())

    def connection_turned_away(self) -> None:
        """Count a connection that was refused."""
        self._record(lambda instruments: instruments.turned_away.inc())

    def log_lines_lost(self, lines: int) -> None:
        """Count log lines that were dropped."""
        self._record(lambda instruments: instruments.lines_lost.inc(lines))

    def committed(self, batch: CommittedBatch) -> None:
        """Count the commands and events of one group commit."""
        commands = len(batch.commands)
        events = sum(one.events for one in batch.results if isinstance(one, CommandResult))
        self._record(lambda instruments: instruments.commits.observe(commands))
        self._record(lambda instruments: instruments.events.inc(events))

    def log_read(self, server: str) -> None:
        """Count a read of the log that a replica might have served."""
        self._record(lambda instruments: instruments.log_reads.labels(server).inc())

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Make a gauge of what ``read`` returns at each ``sample``."""
        self._gauges.append((name, about, read))

    def sample(self) -> None:
        """Read the gauges, and record the counts that waited for space on disk."""
        if self._instruments is None:
            try:
                self._slot.open()
            except OSError:
                return
            self._instruments = _Instruments()
            while self._waiting:
                self._waiting.popleft()(self._instruments)
        for name, about, read in self._gauges:
            self._instruments.gauge(name, about).set(read())

    def text(self, *collectors: Collector) -> bytes:
        """Return the sums of all processes, and ``collectors``, in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        for collector in (self._slot, *collectors):
            registry.register(collector)
        return generate_latest(registry)

    def close(self) -> None:
        """Close the files and release the slot."""
        self._slot.close()

    def _record(self, record: Callable[[_Instruments], object]) -> None:
        if self._instruments:
            record(self._instruments)
        else:
            self._waiting.append(record)
