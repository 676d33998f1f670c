"""Known log: what a data directory or Redis remembers of the log, and how a start uses it.

A remembered end that is not in the log shows that the log was emptied, set back or replaced. The
memory may lag behind, so anything beyond it is fine. A log that knows the remembered epoch and is
in a later one was accepted, or imported, before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import orjson

from commands.errors import LogMismatchError
from commands.event_store.log.continuity import begin_epoch
from commands.event_store.log.event_log import LogMark
from commands.event_store.log.log_identity import LogIdentity
from commands.event_store.store import Store

Accept = Literal["nothing", "same log", "any log"]
"""Which log may take the place of the remembered one: none; the same log without its end, as under
a running service; any log, as an operator decides."""


@dataclass(frozen=True)
class KnownLog:
    """A log as it was when it was last served."""

    identity: LogIdentity
    marks: tuple[LogMark, ...] = ()

    @property
    def position(self) -> int:
        """Its last position, 0 if it was empty."""
        return self.marks[-1].position if self.marks else 0

    def to_json(self) -> bytes:
        """Return one line of JSON."""
        fields = {"log": self.identity.log, "epochs": self.identity.rows}
        marks = [list(mark) for mark in self.marks]
        return orjson.dumps(fields | {"marks": marks}, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, text: bytes) -> "KnownLog":
        """Return what ``to_json`` wrote. Raises ValueError for anything else."""
        try:
            fields: dict[str, Any] = orjson.loads(text)
            identity = LogIdentity.of_rows(fields["log"], fields["epochs"])
            marks = tuple(LogMark(int(position), str(name)) for position, name in fields["marks"])
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError("this is no record of a log") from error
        if any(a.position >= b.position for a, b in pairwise(marks)):
            raise ValueError("this is no record of a log")
        return cls(identity, marks)


def decide_identity(
    store: Store, remembered: Sequence[KnownLog], *, accept: Accept = "nothing"
) -> LogIdentity:
    """Decide which log and epoch a store continues as, and return that.

    Raises LogMismatchError if it is not an extension of what is remembered and may not take its
    place.
    """
    with store.writer_lock(check=False):
        stored = store.read_identity()
        known = [one for one in remembered if one.position]  # an empty log cannot be lost
        lost = [one for one in known if not is_extension(store, stored, one)]
        if lost and not _is_accepted(store, stored, lost, accept):
            raise mismatch_error(store, stored, lost[0])
        identity, marks = _next_identity(store, stored, known, lost)
        if identity != stored:
            store.write_identity(identity)
        store.continuity.adopt(identity, marks)
    store.continuity.refresh()
    return identity


def mismatch_error(
    store: Store, stored: LogIdentity | None, expected: KnownLog
) -> LogMismatchError:
    """Return the error that names the expected log and the stored one."""
    return LogMismatchError(
        str(expected.identity), expected.position, str(stored) if stored else "", store.head()
    )


def is_extension(store: Store, stored: LogIdentity | None, known: KnownLog) -> bool:
    """Return whether the log extends a known one, or was accepted in its place before."""
    if stored is not None:
        if stored.log != known.identity.log:
            return False
        if stored.epoch != known.identity.epoch:
            return stored.knows(known.identity.epoch)
    return store.mark_at(known.position) == known.marks[-1]


def _is_same_log(store: Store, stored: LogIdentity | None, known: KnownLog) -> bool:
    if stored is not None:
        return stored.log == known.identity.log
    # A log of a release without identities: they must have an event in common.
    return any(store.mark_at(mark.position) == mark for mark in reversed(known.marks))


def _is_accepted(
    store: Store, stored: LogIdentity | None, lost: Sequence[KnownLog], accept: Accept
) -> bool:
    if accept == "same log":
        return all(_is_same_log(store, stored, one) for one in lost)
    return accept == "any log"


def _next_identity(
    store: Store, stored: LogIdentity | None, known: Sequence[KnownLog], lost: Sequence[KnownLog]
) -> tuple[LogIdentity, tuple[LogMark, ...]]:
    same = [one for one in known if _is_same_log(store, stored, one)]
    if not same:
        return stored or LogIdentity.new(), ()
    identity = stored or same[0].identity
    for one in same:
        if one.identity.log == identity.log:
            identity = identity.merged(one.identity)
    begun = [
        begin_epoch(store, stored, identity, one.identity.epoch, one.marks)
        for one in same
        if one in lost
    ]
    if begun:
        return min(begun, key=lambda one: one.epochs[-1].shared), ()
    current = [one for one in same if one.identity.epoch == identity.epoch]
    longest = max(current, key=lambda one: one.position, default=None)
    return identity, longest.marks if longest else ()


def identity_after_import(
    file: LogIdentity | None, remembered: Sequence[KnownLog], position: int
) -> LogIdentity:
    """Return the identity of a log that is imported from a file up to a position.

    A file of an earlier release names no log: it becomes a new one. Otherwise a new epoch of its
    log begins, numbered above all remembered epochs of that log.
    """
    if file is None:
        return LogIdentity.new()
    known = file
    for one in remembered:
        if one.identity.log == file.log:
            known = known.merged(one.identity)
    return known.next_epoch(position, file.epoch)
