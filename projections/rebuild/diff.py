"""Finds what a live generation shows otherwise than it should, while it changes.

First everything is compared as it comes. What differs may only have been read too early or too
late, so it is looked at again: what the generation shows at a position that is read in the same
step, against what it should show at that very position. Only what differs then counts.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as made
from typing import NamedTuple, Protocol

from projections.generation.reader import NAMES, Fields, count, id_in, pieces, read, same, scan
from projections.generation.writer import GenerationWriter

Value = bytes | float | None
MAX_REPORTED = 1_000
"""How many differences are kept to be told one by one."""
# How many fields of a key are kept in mind at once, each by a number of 64 bits.
_AT_ONCE = 1_000_000


class Difference(NamedTuple):
    """One field (or member) of a key that should be otherwise; None is none."""

    key: str
    field: bytes
    wanted: Value
    shown: Value


@dataclass
class DiffReport:
    """Differences: all counted by key, the first of them as they are."""

    counts: Counter[str] = made(default_factory=Counter)
    first: list[Difference] = made(default_factory=list)

    def add(self, found: Difference) -> None:
        """Take down one more."""
        self.counts[found.key] += 1
        if len(self.first) < MAX_REPORTED:
            self.first.append(found)


class Expected(Protocol):
    """What a generation should show."""

    def all(self) -> Iterator[dict[str, Fields]]:
        """Yield everything there should be, about as it is now, a part at a time."""

    def at(self, position: int, name: str, fields: Collection[bytes]) -> Fields:
        """Return what there should be of some fields at a position, each later than the last."""

    def counts(self, position: int) -> dict[str, int]:
        """Return how much of everything there should be at a position, later than the last."""


def differences(
    expected: Expected,
    live: GenerationWriter,
    *,
    ignored: Collection[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Difference]:
    """Yield what differs but for ``ignored`` ids; ``advance`` is told how much was compared.

    Raises ReadModelUnavailableError where the live generation is gone.
    """
    done, differing = 0, set()
    for part in expected.all():
        for name, fields in part.items():
            for found in _wrong(expected, live, name, fields):
                if id_in(name, found.field) not in ignored:
                    differing.add(name)
                    yield found
        done += sum(map(len, part.values()))
        advance(done)
    position, counts = count(live)
    wanted = expected.counts(position)
    # One that lacks and one that is too many leave the count as it should be. Few are parked, and
    # an id that is ignored may well be one of them.
    crowded = [
        name
        for name in NAMES
        if name != "parked" and (name in differing or counts[name] != wanted[name])
    ]
    for found in _too_many(expected, live, crowded, max(counts.values())):
        if id_in(found.key, found.field) not in ignored:
            yield found
    if not ignored and counts["events"] != wanted["events"]:
        yield Difference("head", b"events", wanted["events"], counts["events"])


def recheck(
    expected: Expected, live: GenerationWriter, name: str, fields: Iterable[bytes]
) -> Iterator[Difference]:
    """Yield which of ``fields`` differ at one position."""
    for piece in pieces(list(fields)):
        position, shown = read(live, name, piece)
        wanted = expected.at(position, name, piece)
        for field in piece:
            if not same(name, wanted.get(field), shown.get(field)):
                yield Difference(name, field, wanted.get(field), shown.get(field))


def _wrong(
    expected: Expected, live: GenerationWriter, name: str, fields: Fields
) -> Iterator[Difference]:
    doubtful: list[bytes] = []
    for piece in pieces(fields):
        _, shown = read(live, name, piece)
        doubtful += (field for field in piece if not same(name, fields[field], shown.get(field)))
    return recheck(expected, live, name, doubtful)


def _too_many(
    expected: Expected, live: GenerationWriter, names: list[str], most: int
) -> Iterator[Difference]:
    """Yield what should not be there: all that is there but for what should be."""
    for shown in scan(live, "parked"):
        yield from _unwanted(expected, live, "parked", shown)
    shares = 1 + most // _AT_ONCE if names else 0
    for share in range(shares):
        known: dict[str, set[int]] = {name: set() for name in names}
        for part in expected.all():
            for name, hashes in known.items():
                numbers = map(hash, part.get(name, ()))
                hashes.update(number for number in numbers if number % shares == share)
        for name, hashes in known.items():
            for shown in scan(live, name):
                strange = (
                    field
                    for field in shown
                    if hash(field) % shares == share and hash(field) not in hashes
                )
                yield from _unwanted(expected, live, name, strange)


def _unwanted(
    expected: Expected, live: GenerationWriter, name: str, fields: Iterable[bytes]
) -> Iterator[Difference]:
    for found in recheck(expected, live, name, fields):
        if found.wanted is None:
            yield found
