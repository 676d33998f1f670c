"""Log identity: ``<uuid>.<epoch>``, and what two epochs of one log have in common.

The UUID is made with the log and travels with its exports. A new epoch begins when the log stops
being an extension of what was read from it: a backup was imported, an older state was accepted, a
failover lost the end. Epochs form a tree: each agrees with its parent up to a position. A client
that knows its epoch learns how far it must rewind (compare KIP-320 in Kafka, and timelines in
PostgreSQL).
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import uuid4

FIRST = 1
_TEXT = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(0|[1-9][0-9]{0,17})")


class Epoch(NamedTuple):
    """One epoch of a log."""

    number: int
    parent: int | None
    """The epoch it continues; None for the first."""
    shared: int
    """The last position that it has in common with its parent."""


class ClaimedLog(NamedTuple):
    """The log and epoch that a client's positions belong to, as the client says."""

    log: str
    epoch: int


@dataclass(frozen=True)
class LogIdentity:
    """A log, its current epoch, and all known epochs."""

    log: str
    epochs: tuple[Epoch, ...]
    """In ascending order; the last one is current."""

    @classmethod
    def new(cls) -> "LogIdentity":
        """Return the identity of a new log."""
        return cls(str(uuid4()), (Epoch(FIRST, None, 0),))

    @classmethod
    def of_rows(cls, log: str, rows: Iterable[Iterable[Any]]) -> "LogIdentity":
        """Return an identity from ``[number, parent, shared]`` rows. Raises ValueError."""
        epochs = sorted(Epoch(*row) for row in rows)
        numbers = [one.number for one in epochs]
        parents = [one.parent for one in epochs if one.parent is not None]
        if (
            not all(type(n) is int for one in epochs for n in (one.number, one.shared))
            or not epochs
            or len(set(numbers)) != len(numbers)
            or not _TEXT.fullmatch(f"{log}.{numbers[-1]}")
            or not set(parents) <= set(numbers)
            or any(one.parent is not None and one.parent >= one.number for one in epochs)
        ):
            raise ValueError("these are no epochs")
        return cls(log, tuple(epochs))

    @property
    def rows(self) -> list[list[int | None]]:
        """The epochs as ``of_rows`` takes them."""
        return [list(epoch) for epoch in self.epochs]

    @property
    def stored_rows(self) -> list[tuple[str, int, int | None, int]]:
        """The rows of the table of epochs: log, number, parent, shared."""
        return [(self.log, *epoch) for epoch in self.epochs]

    @property
    def epoch(self) -> int:
        """The number of the current epoch."""
        return self.epochs[-1].number

    @cached_property
    def _text(self) -> str:
        return f"{self.log}.{self.epoch}"

    def __str__(self) -> str:
        return self._text

    def knows(self, epoch: int) -> bool:
        """Return whether this log has an epoch."""
        return any(one.number == epoch for one in self.epochs)

    def next_epoch(self, shared: int, parent: int) -> "LogIdentity":
        """Return the identity after a new epoch began that agrees with ``parent`` so far.

        Its number is greater than all before, and at least the time in seconds: two restores of the
        same backup that do not know of each other get different numbers.
        """
        number = max(self.epoch + 1, int(time.time()))
        return LogIdentity(self.log, (*self.epochs, Epoch(number, parent, shared)))

    def merged(self, other: "LogIdentity") -> "LogIdentity":
        """Return this identity with the epochs of another record of the same log.

        The current epoch is the greatest: begin a new one if that is not the log's.
        """
        known = {one.number: one for one in (*other.epochs, *self.epochs)}
        return LogIdentity(self.log, tuple(known[number] for number in sorted(known)))

    def shared_with(self, claimed: ClaimedLog, head: int) -> int | None:
        """Return the last position that an epoch shares with this log, None for another log.

        An unknown epoch shares 0. ``head``, the end of this log, bounds the answer.
        """
        if claimed.log != self.log:
            return None
        ours, theirs = self._ancestry(self.epoch, head), self._ancestry(claimed.epoch, head)
        common = ours.keys() & theirs.keys()
        return max((min(ours[one], theirs[one]) for one in common), default=0)

    def rewind_to(self, head: int) -> int:
        """Return the position that a client without an epoch certainly shares with this log.

        It comes from the current epoch or the one before, else all its positions would be known.
        """
        current = self.epochs[-1]
        return head if current.parent is None else min(current.shared, head)

    def _ancestry(self, epoch: int, head: int) -> dict[int, int]:
        """Return an epoch and its ancestors, each with the position up to which it agrees."""
        known = {one.number: one for one in self.epochs}
        shared: dict[int, int] = {}
        number: int | None = epoch
        while number is not None and number in known:
            shared[number] = head
            head, number = min(head, known[number].shared), known[number].parent
        return shared


def parse_log(text: str) -> ClaimedLog | None:
    """Return the log and epoch in ``<uuid>.<epoch>``, None for any other text."""
    match = _TEXT.fullmatch(text.strip().lower())
    return ClaimedLog(match[1], int(match[2])) if match else None
