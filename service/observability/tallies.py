"""Numbers that several processes count up together, in files that outlive each of them.

The files are those of ``prometheus_client``'s multi-process mode, which also adds them up, but here
a process does not name them by its id: it takes the first free slot, locked for as long as it
lives. One that takes the place of a dead one counts on where that ended, so that no sum ever goes
down and no files pile up. Whoever comes first, with nobody else alive, begins at zero.
"""

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from prometheus_client import Metric, mmap_dict, multiprocess
from prometheus_client.registry import Collector

_SLOTS = 1_024
_PREFIX = "cinelog_"
# What they take and return is not declared.
_MmapedDict: Any = mmap_dict.MmapedDict
_merge: Any = multiprocess.MultiProcessCollector.merge


# For some 4,000 numbers; a file that needs more grows.
_FILE_BYTES = 1 << 20


class _AllocatedDict(_MmapedDict):  # type: ignore[misc]
    """A file of numbers whose pages all have room on disk. Raises OSError where there is none."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("ab") as file:
                _allocate(file.fileno(), max(_FILE_BYTES, file.tell()))
        except OSError:
            if path.exists() and path.stat().st_size < _FILE_BYTES:
                path.unlink()
            raise
        super().__init__(str(path))

    def _init_value(self, key: str) -> None:
        needed, size = self._used + len(key.encode()) + 32, self._capacity
        while size < needed:
            size *= 2
        if size > self._capacity:
            _allocate(self._f.fileno(), size)
        super()._init_value(key)


def _allocate(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    missing = size - os.fstat(file).st_size
    if missing > 0 and os.write(file, bytes(missing)) != missing:
        raise OSError("the file could not be extended")


class Tally:
    """One number of this process, which everyone can read at any time. For one thread."""

    __slots__ = ("_file", "_key", "value")

    def __init__(self, key: str) -> None:
        self._file: Any = None
        self._key = key
        self.value = 0.0

    def attach(self, file: Any) -> None:
        """Keep the number in ``file``, added to what stands there. Raises OSError without room."""
        self.value += file.read_value(self._key)[0]
        file.write_value(self._key, self.value, 0.0)
        self._file = file

    def add(self, amount: float = 1.0) -> None:
        """Count up."""
        self.set(self.value + amount)

    def set(self, value: float) -> None:
        """Set to ``value``, which the sum of all processes is made of."""
        self.value = value
        if self._file is not None:
            self._file.write_value(self._key, value, 0.0)


class Tallies(Collector):
    """The tallies of this process, and with them those of all others in the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._everyone = (folder / "lock").open("ab")
        with suppress(BlockingIOError):
            fcntl.flock(self._everyone, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in folder.glob("*.db"):
                file.unlink()
        # Files are made under this lock only, so nobody removes those of a process that lives.
        fcntl.flock(self._everyone, fcntl.LOCK_SH)
        self._slot, self._lock = self._take_slot()
        self._files: dict[str, Any] = {}
        self._detached: list[tuple[str, Tally]] = []

    def _take_slot(self) -> tuple[int, IO[bytes]]:
        for slot in range(1, _SLOTS + 1):
            lock = (self._folder / f"slot-{slot}").open("ab")
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return slot, lock
            lock.close()
        raise OSError(f"{_SLOTS} processes already count in {self._folder}")

    def counter(self, name: str, about: str, **labels: str) -> Tally:
        """Return a sum; ``name`` is without the product's and its ``_total``."""
        return self._tally("counter", name, f"{name}_total", about, labels)

    def gauge(self, name: str, about: str, **labels: str) -> Tally:
        """Return a number that counts for as long as this process lives."""
        return self._tally("gauge_livesum", name, name, about, labels)

    def buckets(
        self, name: str, about: str, bounds: Sequence[str], **labels: str
    ) -> tuple[Tally, list[Tally]]:
        """Return the sum of a histogram, and its buckets, each without those before it."""
        total = self._tally("histogram", name, f"{name}_sum", about, labels)
        return total, [
            self._tally("histogram", name, f"{name}_bucket", about, labels | {"le": bound})
            for bound in bounds
        ]

    def _tally(
        self, kind: str, name: str, sample: str, about: str, labels: dict[str, str]
    ) -> Tally:
        name, sample = _PREFIX + name, _PREFIX + sample
        key = mmap_dict.mmap_key(name, sample, list(labels), list(labels.values()), about)
        tally = Tally(key)
        self._attach(kind, tally)
        return tally

    def attach(self) -> None:
        """Move numbers that are in this process's memory alone into files, where there is room."""
        waiting, self._detached = self._detached, []
        while waiting and self._attach(*waiting.pop()):
            pass
        self._detached += waiting

    def _attach(self, kind: str, tally: Tally) -> bool:
        try:
            if kind not in self._files:
                self._files[kind] = _AllocatedDict(self._path(kind, self._slot))
            tally.attach(self._files[kind])
        except OSError:
            self._detached.append((kind, tally))
            return False
        return True

    def _path(self, kind: str, slot: int) -> Path:
        return self._folder / f"{kind}_{slot}.db"

    def collect(self) -> Iterable[Metric]:
        """Return the sums over all processes."""
        files = [
            str(file)
            for file in sorted(self._folder.glob("*.db"))
            if not file.name.startswith("gauge") or self._lives(int(file.stem.rpartition("_")[2]))
        ]
        merged: Iterable[Metric] = _merge(files)
        return merged

    def _lives(self, slot: int) -> bool:
        if slot == self._slot:
            return True
        with (self._folder / f"slot-{slot}").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def close(self) -> None:
        """Leave the slot to the next."""
        for file in self._files.values():
            file.close()
        self._lock.close()
        self._everyone.close()
