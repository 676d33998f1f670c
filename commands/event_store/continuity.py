"""Continuity: a process notices when its log is no longer an extension of what it has read.

Marks name events that were read. Where the last one is gone from the log (a file was set back, a
failover lost its end), a new epoch begins, and what was kept of the old one is forgotten. A log
with another UUID takes no writes until an operator accepts it.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import structlog

from commands.errors import EventStoreUnavailableError
from commands.event_store.log_identity import LogIdentity

if TYPE_CHECKING:
    from commands.event_store.store import Store

# The newest marks are kept, then about one for each doubling of the distance from the end.
_DENSE = 8
log = structlog.get_logger(__name__)


class LogMark(NamedTuple):
    """An event that was read: its position, and a name that no other event has there."""

    position: int
    name: str

    @property
    def stamp(self) -> str:
        """When it happened, "" where it does not tell."""
        return self.name.partition("@")[2]


class LogLook(NamedTuple):
    """What one look at the log shows."""

    newest: tuple[str, int] | None
    """UUID and number of its newest epoch; None where no identity was made yet."""
    known: LogMark | None
    """The event at the position that was asked for."""
    tip: LogMark | None
    """The last event; None for an empty log."""


def thinned(marks: Sequence[LogMark]) -> tuple[LogMark, ...]:
    """Return ascending marks without those that tell little: many near the end, few far from it."""
    kept = list(marks[: -_DENSE - 1 : -1])
    for mark in reversed(marks[:-_DENSE]):
        head = kept[0].position
        if head - mark.position >= 2 * (head - kept[-1].position):
            kept.append(mark)
    return tuple(reversed(kept))


def last_in_common(store: "Store", marks: Sequence[LogMark]) -> int:
    """Return the last position up to which the log is the one that the marks were read from.

    Exact where the log was only cut off; where it has grown since, the last mark that it still has.
    """
    gone: LogMark | None = None
    for mark in reversed(marks):
        if store.mark_at(mark.position) == mark:
            break
        gone = mark
    else:
        mark = LogMark(0, "")
    tip = store.look_at(0).tip
    if tip and gone and mark.position < tip.position < gone.position and tip.stamp <= gone.stamp:
        return tip.position
    return mark.position


def next_epoch_of(
    store: "Store",
    stored: LogIdentity | None,
    known: LogIdentity,
    epoch: int,
    marks: Sequence[LogMark],
) -> LogIdentity:
    """Return the identity of a log in a new epoch: it is no extension of marks read in ``epoch``.

    ``stored`` is what the log says it is, ``known`` has all epochs that are known of it.
    """
    if stored is None or stored.epoch == epoch:
        return known.next_epoch(last_in_common(store, marks), epoch)
    tip = store.look_at(0).tip
    return known.next_epoch(tip.position if tip else 0, stored.epoch)


class Continuity:
    """What a process knows of its log. Safe to share between threads."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._lock = threading.RLock()
        self._changed: list[Callable[[], object]] = []
        self.identity: LogIdentity | None = None
        """None until the log was read for the first time."""
        self.marks: tuple[LogMark, ...] = ()
        self.highest = 0
        """The greatest position that is known to be in the log."""
        self.replaced = False
        """Whether a log with another UUID has taken the place of the one that was read."""

    @property
    def text(self) -> str:
        """``<uuid>.<epoch>``, "" while it is not known."""
        return str(self.identity) if self.identity else ""

    def on_change(self, forget: Callable[[], object]) -> None:
        """Have ``forget`` called, on any thread, when what was read before counts no more."""
        self._changed.append(forget)

    def appended(self, position: int) -> None:
        """Take note of a position that this process appended."""
        self.highest = max(self.highest, position)

    def refresh(self) -> None:
        """Read how far the log is, and notice another epoch. Raises EventStoreUnavailableError."""
        with self._lock:
            if self.identity is None and (stored := self._store.read_identity()):
                self.adopt(stored)
            seen = self._look()
            settled = self._continues(seen) and not self.replaced
            if settled:
                self._advance(seen.tip)
        if not settled:
            with suppress(EventStoreUnavailableError), self._store.writer_lock():
                pass  # a turn checks, when nobody else can write

    def check(self) -> LogMark | None:
        """Do the same in a turn, and settle what differs; return the last event.

        Raises EventStoreUnavailableError where another log has taken the place of this one.
        """
        with self._lock:
            seen = self._look()
            if not self._continues(seen) or self.replaced:
                self._settle(seen)
            self._advance(seen.tip)
            return seen.tip

    def adopt(self, identity: LogIdentity, marks: Sequence[LogMark] = ()) -> None:
        """Go on from here as this log and epoch."""
        with self._lock:
            before, self.identity = self.identity, identity
            self.marks = tuple(marks)
            self.highest = self.marks[-1].position if self.marks else 0
            self.replaced = False
            if before is not None:
                for forget in self._changed:
                    forget()

    def _look(self) -> LogLook:
        return self._store.look_at(self.marks[-1].position if self.marks else 0)

    def _continues(self, seen: LogLook) -> bool:
        known = self.marks[-1] if self.marks else None
        newest = (self.identity.log, self.identity.epoch) if self.identity else None
        return newest is not None and seen.newest == newest and (not known or seen.known == known)

    def _settle(self, seen: LogLook) -> None:
        stored = self._store.read_identity()
        if self.identity is None:
            identity = stored or LogIdentity.new()
            if stored is None:
                self._store.write_identity(identity)
            self.adopt(identity)
            return
        if stored is not None and stored.log != self.identity.log and self.marks:
            if not self.replaced:
                log.error("another log", expected=str(self.identity), found=str(stored))
            self.replaced = True
            raise EventStoreUnavailableError("another log has taken its place")
        known = self.marks[-1] if self.marks else None
        if stored is not None and stored.epoch != self.identity.epoch and self._newer(stored):
            log.warning("new epoch", log=str(stored), before=str(self.identity))
            self.adopt(stored)
        elif known and seen.known != known:
            known_epochs = self.identity.merged(stored) if stored else self.identity
            identity = next_epoch_of(
                self._store, stored, known_epochs, self.identity.epoch, self.marks
            )
            self._store.write_identity(identity)
            log.error(
                "the log was set back",
                log=str(identity),
                expected=known.position,
                shared=identity.epochs[-1].shared,
            )
            self.adopt(identity)
        else:
            same = stored is not None and stored.log == self.identity.log
            identity = self.identity.merged(stored) if stored and same else stored or self.identity
            if identity != stored:
                self._store.write_identity(identity)
            self.adopt(identity, self.marks)

    def _newer(self, stored: LogIdentity) -> bool:
        """Return whether the log knows the epoch that this process knows: it went on from there."""
        assert self.identity is not None  # noqa: S101 - asked only then
        return stored.log != self.identity.log or stored.knows(self.identity.epoch)

    def _advance(self, tip: LogMark | None) -> None:
        if tip is None:
            return
        self.highest = max(self.highest, tip.position)
        if not self.marks or tip != self.marks[-1]:
            self.marks = thinned((*self.marks, tip))
