"""Compares a generation with its expected state while it changes, and repairs the differences.

The first pass compares fields as they come. A difference there may only have been read too early
or too late, so it is checked again: what the generation has at a position that is read in the same
step, against what it must have at that position. Only the fields that differ then count.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from commands.errors import ReadModelUnavailableError
from projections.generation.pause import Pause
from projections.generation.reader import (
    NAMES,
    Fields,
    count,
    id_in,
    pieces,
    read,
    read_days,
    same,
    scan,
)
from projections.generation.state import CONSTANTS, Generation
from projections.lua import arguments, load_script
from projections.movie_rows import RedisWrite
from projections.rebuild.expected import ExpectedState

Value = bytes | int | None
MAX_REPORTED = 1_000
"""The number of differences that a report keeps; the others are only counted."""
# Fields of a key that are held in memory at once, each as a hash of 64 bits.
_MAX_HASHES = 1_000_000

_REPAIR = load_script("projections.lua.rebuild.repair", CONSTANTS)


class Difference(NamedTuple):
    """A field of a key with its expected and its actual value; None if missing."""

    key: str
    field: bytes
    wanted: Value
    shown: Value


@dataclass
class DiffReport:
    """The number of differences by key, and the first of them."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        """Count a difference."""
        self.counts[difference.key] += 1
        if len(self.first) < MAX_REPORTED:
            self.first.append(difference)


class Comparison:
    """Compares a live generation with its expected state, but for ``ignored`` ids."""

    def __init__(
        self, expected: ExpectedState, live: Generation, *, ignored: Collection[str] = ()
    ) -> None:
        self.expected = expected
        self.live = live
        self.report = DiffReport()
        self.compared = 0
        self._ignored = ignored

    def differences(self, advance: Callable[[int, int], None]) -> Iterator[Difference]:
        """Yield each difference once it is in the report.

        Calls ``advance`` with the number of fields compared and the number of all. Raises
        ReadModelUnavailableError where the live generation is gone.
        """
        for difference in self._find(advance):
            if id_in(difference.field) not in self._ignored:
                self.report.add(difference)
                yield difference

    def recheck(self, name: str, fields: Iterable[bytes]) -> Iterator[Difference]:
        """Yield those of ``fields`` that differ at one position."""
        for piece in pieces(list(fields)):
            position, shown = read(self.live, name, piece)
            wanted = self.expected.at(position, name, piece)
            for one in piece:
                if not same(name, wanted.get(one), shown.get(one)):
                    yield Difference(name, one, wanted.get(one), shown.get(one))

    def recheck_days(self) -> Iterator[Difference]:
        """Yield the counts of days that differ at one position."""
        position, shown = read_days(self.live)
        wanted = self.expected.days(position)
        for one in sorted({*wanted, *shown}):
            # A retry may take back what was counted, and leave nothing.
            if wanted.get(one, b"0") != shown.get(one, b"0"):
                yield Difference("days", one, wanted.get(one), shown.get(one))

    def _find(self, advance: Callable[[int, int], None]) -> Iterator[Difference]:
        total = count(self.live).total
        for part in self.expected.parts():
            for name, fields in part.items():
                yield from self._find_missing_or_wrong(name, fields)
            self.compared += sum(map(len, part.values()))
            advance(self.compared, max(self.compared, total))
        position, counts = count(self.live)
        wanted = self.expected.counts(position)
        # A missing and an extra entry cancel out in the count. Few streams are parked, and an
        # ignored id may be one of them.
        suspect = [
            name
            for name in NAMES
            if name != "parked" and (name in self.report.counts or counts[name] != wanted[name])
        ]
        yield from self._find_extraneous(suspect, max(counts.values()))
        if not self._ignored:
            if counts["events"] != wanted["events"]:
                yield Difference("head", b"events", wanted["events"], counts["events"])
            yield from self.recheck_days()

    def _find_missing_or_wrong(self, name: str, fields: Fields) -> Iterator[Difference]:
        doubtful: list[bytes] = []
        for piece in pieces(fields):
            _, shown = read(self.live, name, piece)
            doubtful += (one for one in piece if not same(name, fields[one], shown.get(one)))
        yield from self.recheck(name, doubtful)

    def _find_extraneous(self, names: list[str], largest: int) -> Iterator[Difference]:
        """Yield the fields that the generation must not have, a bucket of hashes at a time."""
        for shown in scan(self.live, "parked"):
            yield from self._unwanted("parked", shown)
        buckets = 1 + largest // _MAX_HASHES if names else 0
        for bucket in range(buckets):
            known: dict[str, set[int]] = {name: set() for name in names}
            for part in self.expected.parts():
                for name, hashes in known.items():
                    numbers = map(hash, part.get(name, ()))
                    hashes.update(number for number in numbers if number % buckets == bucket)
            for name, hashes in known.items():
                for shown in scan(self.live, name):
                    unknown = [
                        one
                        for one in shown
                        if hash(one) % buckets == bucket and hash(one) not in hashes
                    ]
                    yield from self._unwanted(name, unknown)

    def _unwanted(self, name: str, fields: Iterable[bytes]) -> Iterator[Difference]:
        return (found for found in self.recheck(name, fields) if found.wanted is None)


def writes_for(differences: Iterable[Difference]) -> list[RedisWrite]:
    """Return the writes that remove what is wrong and add what is wanted."""
    writes: list[RedisWrite] = []
    for key, name, wanted, _ in differences:
        if wanted is None:
            writes.append(RedisWrite("HDEL", key, [name]))
        else:
            writes.append(RedisWrite("HSET", key, [name, wanted]))
    return writes


def repair(generation: Generation, paused: Pause, writes: Sequence[RedisWrite]) -> None:
    """Apply writes to a paused generation in one step, and count its entries anew.

    Raises ReadModelUnavailableError where the pause is over; then nothing was changed.
    """
    keys = generation.keys
    args: list[Any] = [paused.position, paused.until_ms, *arguments(keys, writes)]
    if not _REPAIR.run(generation.redis, keys.lasting, args):
        raise ReadModelUnavailableError("it took too long; try again")
