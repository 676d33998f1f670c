"""Faults, and their schedule: the same seed gives the same faults in the same order."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LONGEST_PAUSE_S, LONGEST_HOLD_S = 1.5, 3.0


class Fault(NamedTuple):
    """One fault; it begins some time after the service has recovered from the one before."""

    kind: str
    """``kill``: SIGKILL."""
    part: str
    """The part that it hits."""
    pause_s: float
    """How long the service is left alone first."""
    hold_s: float
    """How long the fault lasts."""

    def __str__(self) -> str:
        return f"{self.kind} {self.part}"


def schedule(seed: int, kinds: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    """Return faults without end: each of ``kinds`` once in every round, in random order."""
    chance = random.Random(f"faults {seed}")
    while True:
        for kind, part in chance.sample(kinds, len(kinds)):
            pause_s = chance.uniform(0, LONGEST_PAUSE_S)
            yield Fault(kind, part, pause_s, chance.uniform(0.5, LONGEST_HOLD_S))
