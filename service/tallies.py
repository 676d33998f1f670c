"""Numbers that several processes count up together, in files that outlive each of them.

The files are those of ``prometheus_client``'s multi-process mode, which also adds them up, but here
a process does not name them by its id: it takes the first free slot, locked for as long as it
lives. One that takes the place of a dead one counts on where that ended, so that no sum ever goes
down and no files pile up. Whoever comes first, with nobody else alive, begins at zero.
"""

import fcntl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from prometheus_client import Metric, mmap_dict, multiprocess
from prometheus_client.registry import Collector

_SLOTS = 1_024
_PREFIX = "cinelog_"
# What they take and return is not declared.
MmapedDict: Any = mmap_dict.MmapedDict
_merge: Any = multiprocess.MultiProcessCollector.merge


class Tally:
    """One number of this process, which everyone can read at any time. For one thread."""

    __slots__ = ("_file", "_key", "value")

    def __init__(self, file: Any, key: str) -> None:
        self._file = file
        self._key = key
        self.value: float = file.read_value(key)[0]

    def add(self, amount: float = 1.0) -> None:
        """Count up."""
        self.value += amount
        self._file.write_value(self._key, self.value, 0.0)

    def set(self, value: float) -> None:
        """Set to ``value``, which the sum of all processes is made of."""
        self.value = value
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
        if kind not in self._files:
            self._files[kind] = MmapedDict(str(self._path(kind, self._slot)))
        key = mmap_dict.mmap_key(name, sample, list(labels), list(labels.values()), about)
        return Tally(self._files[kind], key)

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
