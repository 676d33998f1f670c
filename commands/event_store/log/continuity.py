"""Continuity: a process notices when its log is no longer an extension of what it has read.

Marks name events that were read. If the last one is missing from the log (a file was set back, a
failover lost its end), a new epoch begins and caches of the old one are dropped. A log with another
UUID takes no writes until an operator accepts it.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from commands.errors import EventStoreUnavailableError
from commands.event_store.log.event_log import EventLog, LogMark, LogSnapshot
from commands.event_store.log.log_identity import LogIdentity

# The newest marks are all kept, older ones about one for each doubling of the distance to the end.
_DENSE = 8
log = structlog.get_logger(__name__)


def thin_out(marks: Sequence[LogMark]) -> tuple[LogMark, ...]:
    """Return ascending marks: all of those near the end, few of those far from it."""
    thinned = list(marks[: -_DENSE - 1 : -1])
    for mark in reversed(marks[:-_DENSE]):
        head = thinned[0].position
        if head - mark.position >= 2 * (head - thinned[-1].position):
            thinned.append(mark)
    return tuple(reversed(thinned))


def last_shared_position(event_log: EventLog, marks: Sequence[LogMark]) -> int:
    """Return the last position up to which the log is the one that the marks were read from.

    Exact if the log was only cut off; if it has grown since, the last mark that it still has.
    """
    missing: LogMark | None = None
    for mark in reversed(marks):
        if event_log.mark_at(mark.position) == mark:
            break
        missing = mark
    else:
        mark = LogMark(0, "")
    last = event_log.snapshot().last
    if (
        last
        and missing
        and mark.position < last.position < missing.position
        and last.timestamp <= missing.timestamp
    ):
        return last.position
    return mark.position


def begin_epoch(
    event_log: EventLog,
    stored: LogIdentity | None,
    known: LogIdentity,
    epoch: int,
    marks: Sequence[LogMark],
) -> LogIdentity:
    """Return the identity in a new epoch of a log that does not extend marks read in ``epoch``.

    ``stored`` is the identity in the log, ``known`` has all known epochs of it.
    """
    if stored is None or stored.epoch == epoch:
        return known.next_epoch(last_shared_position(event_log, marks), epoch)
    last = event_log.snapshot().last
    return known.next_epoch(last.position if last else 0, stored.epoch)


class Continuity:
    """The identity and the last marks of the log, as this process knows them. Thread-safe."""

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], object]] = []
        self.identity: LogIdentity | None = None
        """None until the log was read for the first time."""
        self.marks: tuple[LogMark, ...] = ()
        self.highest = 0
        """The greatest position known to be in the log."""
        self.replaced = False
        """Whether a log with another UUID has taken the place of this one."""

    @property
    def text(self) -> str:
        """``<uuid>.<epoch>``, "" while the identity is not known."""
        return str(self.identity) if self.identity else ""

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call ``listener``, on any thread, when earlier reads of the log no longer hold."""
        self._listeners.append(listener)

    def appended(self, position: int) -> None:
        """Record that this process appended up to a position."""
        self.highest = max(self.highest, position)

    def refresh(self) -> None:
        """Read the end of the log and notice a new epoch. Raises EventStoreUnavailableError."""
        with self._lock:
            if self.identity is None and (stored := self._event_log.read_identity()):
                self.adopt(stored)
            seen = self._snapshot()
            if self._is_extended_by(seen) and not self.replaced:
                self._advance(seen.last)
                return
        with suppress(EventStoreUnavailableError), self._event_log.writer_lock():
            self.check()

    def check(self) -> LogMark | None:
        """Do the same, decide the identity if it has changed, and return the last event.

        Requires the writer lock. Raises EventStoreUnavailableError if another log has taken the
        place of this one.
        """
        with self._lock:
            seen = self._snapshot()
            if not self._is_extended_by(seen) or self.replaced:
                self._decide_identity(seen)
            self._advance(seen.last)
            return seen.last

    def adopt(self, identity: LogIdentity, marks: Sequence[LogMark] = ()) -> None:
        """Continue as this log and epoch."""
        with self._lock:
            before, self.identity = self.identity, identity
            self.marks = tuple(marks)
            self.highest = self.marks[-1].position if self.marks else 0
            self.replaced = False
            if before is not None:
                for listener in self._listeners:
                    listener()

    def _snapshot(self) -> LogSnapshot:
        return self._event_log.snapshot(self.marks[-1].position if self.marks else 0)

    def _is_extended_by(self, seen: LogSnapshot) -> bool:
        epoch = (self.identity.log, self.identity.epoch) if self.identity else None
        return (
            epoch is not None
            and seen.epoch == epoch
            and (not self.marks or seen.mark == self.marks[-1])
        )

    def _decide_identity(self, seen: LogSnapshot) -> None:
        stored = self._event_log.read_identity()
        known = self.identity
        if known is None:
            self._write_and_adopt(stored or LogIdentity.new(), stored)
            return
        is_same = stored is not None and stored.log == known.log
        if stored is not None and not is_same and self.marks:
            if not self.replaced:
                log.error("another log", expected=str(known), found=str(stored))
            self.replaced = True
            raise EventStoreUnavailableError("another log has taken its place")
        # A log that knows this process's epoch has moved on from it.
        if stored and stored.epoch != known.epoch and (not is_same or stored.knows(known.epoch)):
            log.warning("new epoch", log=str(stored), before=str(known))
            self.adopt(stored)
        elif self.marks and seen.mark != self.marks[-1]:
            epochs = known.merged(stored) if stored else known
            identity = begin_epoch(self._event_log, stored, epochs, known.epoch, self.marks)
            log.error(
                "the log was set back",
                log=str(identity),
                expected=self.marks[-1].position,
                shared=identity.epochs[-1].shared,
            )
            self._write_and_adopt(identity, stored)
        else:
            identity = known.merged(stored) if stored and is_same else stored or known
            self._write_and_adopt(identity, stored, self.marks)

    def _write_and_adopt(
        self,
        identity: LogIdentity,
        stored: LogIdentity | None,
        marks: Sequence[LogMark] = (),
    ) -> None:
        if identity != stored:
            self._event_log.write_identity(identity)
        self.adopt(identity, marks)

    def _advance(self, last: LogMark | None) -> None:
        if last is None:
            return
        self.highest = max(self.highest, last.position)
        if not self.marks or last != self.marks[-1]:
            self.marks = thin_out((*self.marks, last))
