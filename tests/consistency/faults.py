"""Faults, and their schedule: the same seed gives the same faults in the same order."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

KILL, STOP, WIPE, REBUILD = "kill", "stop", "wipe", "rebuild"
SLOW, SILENT, CUT = "slow", "silent", "cut"
FORWARD, BACK, FULL = "forward", "back", "full"
AT_ONCE = {KILL, WIPE, REBUILD}
"""Faults that do not last."""
LONGEST_PAUSE_S, SHORTEST_HOLD_S, LONGEST_HOLD_S = 1.5, 0.5, 3.0


class Kind(NamedTuple):
    """What is done to which part.

    ========================  ==================================================================
    ``kill``                  SIGKILL; what is not started again by itself is started at once
    ``stop``                  SIGSTOP, later SIGCONT
    ``slow, silent, cut``     the connections to a part, or of the clients
    ``wipe``                  FLUSHALL
    ``rebuild``               ``cinelog rebuild``: another generation takes the place of the live one
    ``forward, back``         the clock of the service by two hours, later again as it was
    ``full``                  the disk of a part
    ========================  ==================================================================
    """

    fault: str
    part: str

    def __str__(self) -> str:
        return f"{self.fault} {self.part}"


class Fault(NamedTuple):
    """One fault; it begins some time after the service has recovered from the one before."""

    kind: Kind
    pause_s: float
    """How long the service is left alone first."""
    hold_s: float
    """How long a fault lasts that is not over at once."""


def schedule(seed: int, kinds: Sequence[Kind]) -> Iterator[Fault]:
    """Return faults without end: each of ``kinds`` once in every round, in random order."""
    chance = random.Random(f"faults {seed}")
    while True:
        for kind in chance.sample(kinds, len(kinds)):
            pause_s = chance.uniform(0, LONGEST_PAUSE_S)
            yield Fault(kind, pause_s, chance.uniform(SHORTEST_HOLD_S, LONGEST_HOLD_S))
