"""What is remembered of a log outside of it, and what a start makes of that.

A remembered head that is not in the log shows that the log was emptied, set back or replaced. The
memory may lag behind the log, so anything that the log has beyond it is fine. A log that knows the
remembered epoch and is in a later one was accepted, or imported, before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import orjson

from commands.errors import LogMismatchError
from commands.event_store.continuity import LogMark, next_epoch_of
from commands.event_store.log_identity import LogIdentity

if TYPE_CHECKING:
    from commands.event_store.store import Store

Accept = Literal["nothing", "same log", "any log"]
"""Which log may take the place of the one that is remembered: none; the same one where it lost its
end, as under a running service; any, as an operator says."""


@dataclass(frozen=True)
class KnownLog:
    """A log as it was when it was last served."""

    identity: LogIdentity
    marks: tuple[LogMark, ...] = ()

    @property
    def position(self) -> int:
        """Its last position, 0 where it was empty."""
        return self.marks[-1].position if self.marks else 0

    def dumped(self) -> bytes:
        """Return it as one line of JSON."""
        said: dict[str, Any] = {"log": self.identity.log, "epochs": self.identity.rows}
        said["marks"] = [list(mark) for mark in self.marks]
        return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def loaded(cls, text: bytes) -> "KnownLog":
        """Return what ``dumped`` wrote. Raises ValueError for anything else."""
        try:
            said: dict[str, Any] = orjson.loads(text)
            identity = LogIdentity.of_rows(said["log"], said["epochs"])
            marks = tuple(LogMark(int(position), str(name)) for position, name in said["marks"])
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError("this is no record of a log") from error
        if any(a.position >= b.position for a, b in pairwise(marks)):
            raise ValueError("this is no record of a log")
        return cls(identity, marks)


def settle(
    store: "Store", remembered: Sequence[KnownLog], *, accept: Accept = "nothing"
) -> LogIdentity:
    """Decide which log and epoch a store goes on as, and return that.

    Raises LogMismatchError where it is not an extension of what is remembered and may not take its
    place.
    """
    with store.writer_lock(check=False):
        stored = store.read_identity()
        known = [one for one in remembered if one.position]  # what was empty cannot be lost
        strange = [one for one in known if not continues(store, stored, one)]
        if strange and not _accepted(store, stored, strange, accept):
            raise mismatch(store, stored, strange[0])
        identity, marks = _settled(store, stored, known, strange)
        if identity != stored:
            store.write_identity(identity)
        store.continuity.adopt(identity, marks)
    store.continuity.refresh()
    return identity


def mismatch(store: "Store", stored: LogIdentity | None, expected: KnownLog) -> LogMismatchError:
    """Return the error that says what was expected and what is there."""
    return LogMismatchError(
        str(expected.identity), expected.position, str(stored) if stored else "", store.head()
    )


def continues(store: "Store", stored: LogIdentity | None, one: KnownLog) -> bool:
    """Return whether a log extends what is remembered, or was accepted in its place before."""
    if stored is not None:
        if stored.log != one.identity.log:
            return False
        if stored.epoch != one.identity.epoch:
            return stored.knows(one.identity.epoch)
    return store.mark_at(one.position) == one.marks[-1]


def _is_same(store: "Store", stored: LogIdentity | None, one: KnownLog) -> bool:
    """Return whether a log has a beginning in common with what is remembered."""
    if stored is not None:
        return stored.log == one.identity.log
    # One of a release that gave no identity: some event must be the same.
    return any(store.mark_at(mark.position) == mark for mark in reversed(one.marks))


def _accepted(
    store: "Store", stored: LogIdentity | None, strange: Sequence[KnownLog], accept: Accept
) -> bool:
    if accept == "same log":
        return all(_is_same(store, stored, one) for one in strange)
    return accept == "any log"


def _settled(
    store: "Store",
    stored: LogIdentity | None,
    known: Sequence[KnownLog],
    strange: Sequence[KnownLog],
) -> tuple[LogIdentity, tuple[LogMark, ...]]:
    same = [one for one in known if _is_same(store, stored, one)]
    if not same:
        return stored or LogIdentity.new(), ()
    all_known = stored or same[0].identity
    for one in same:
        if one.identity.log == all_known.log:
            all_known = all_known.merged(one.identity)
    lost = [one for one in same if one in strange]
    if lost:
        begun = (
            next_epoch_of(store, stored, all_known, one.identity.epoch, one.marks) for one in lost
        )
        return min(begun, key=lambda identity: identity.epochs[-1].shared), ()
    current = [one for one in same if one.identity.epoch == all_known.epoch]
    longest = max(current, key=lambda one: one.position, default=None)
    return all_known, longest.marks if longest else ()


def imported(
    file: LogIdentity | None, remembered: Sequence[KnownLog], position: int
) -> LogIdentity:
    """Return what a log goes on as that is imported from a file up to a position.

    A file of an earlier release tells of no log: it becomes one of its own. Else a new epoch of its
    log begins, and what is remembered of that log tells which epochs there were since the export.
    """
    if file is None:
        return LogIdentity.new()
    known = file
    for one in remembered:
        if one.identity.log == file.log:
            known = known.merged(one.identity)
    return known.next_epoch(position, file.epoch)
