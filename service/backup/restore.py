"""Restoring a log from backups into an empty event store, up to a position or a time."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from commands.errors import InvalidError
from commands.event_store.event_codec import RawEvent, timestamp_in
from commands.event_store.log.log_identity import LogIdentity
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from service.backup.catalog import Backup, Chain, read_catalog
from service.backup.manifest import Manifest, read_manifest
from service.backup.place import Place
from service.backup.segments import Reader
from service.errors import BackupError, DamagedBackupError
from service.transfer.event_file import lineage_of, read_events

_BATCH = 1_000


class Target(NamedTuple):
    """Up to where to restore: a position, a time, or without both the end of the chain."""

    position: int | None = None
    time: datetime | None = None

    def ends_within(self, manifest: Manifest) -> bool:
        """Return whether a backup reaches this target."""
        if self.position is not None:
            return manifest.last.position >= self.position
        return self.time is not None and manifest.latest > rfc3339(self.time)

    def is_after(self, event: RawEvent) -> bool:
        """Return whether an event, and so all later ones, is beyond the target.

        An event without a timestamp counts as no later than those before it (decision 24).
        """
        if self.position is not None:
            return event.position > self.position
        return self.time is not None and timestamp_in(event.state) > rfc3339(self.time)


class Plan(NamedTuple):
    """What is read to restore."""

    chain: str
    parts: Sequence[tuple[Backup, Manifest]]
    target: Target

    @property
    def events(self) -> int:
        """The number of events in its files; with a target, not all of them are restored."""
        return self.parts[-1][1].total if self.parts else 0


class Restored(NamedTuple):
    """How many events were restored, and the position of the last one."""

    events: int
    position: int


def make_plan(place: Place, target: Target, chain: str | None = None) -> Plan:
    """Choose the newest chain, or the one of that name, and the backups of it that are needed.

    Raises BackupError if there is none, or the chain ends before the position; DamagedBackupError.
    """
    found = _choose(place, chain)
    parts: list[tuple[Backup, Manifest]] = []
    for backup in found.backups:
        try:
            manifest = read_manifest(place, backup)
        except DamagedBackupError as error:
            raise _still_restorable(error, parts) from None
        parts.append((backup, manifest))
        if target.ends_within(manifest):
            return Plan(found.name, parts, target)
    if target.position is not None and target.position > found.last.until:
        raise BackupError(
            f"the chain {found.name} ends at position {found.last.until:,}; choose an earlier"
            " position, or another chain with --chain (cinelog backup list shows them)"
        )
    return Plan(found.name, parts, target)


def restore(
    reader: Reader,
    plan: Plan,
    store: Store,
    identity_of: Callable[[LogIdentity | None, int], LogIdentity],
    advance: Callable[[int], object] = lambda _: None,
) -> tuple[Restored, LogIdentity]:
    """Write the log into an empty store: all of it up to the target, or nothing.

    ``identity_of`` returns how the log continues, from the identity in the backup and the last
    position. ``advance`` is called with the number of events written. Raises DamagedBackupError,
    BackupError, EventStoreUnavailableError, and ConfigurationError if the store is not empty or the
    key does not fit.
    """
    lineage, end = _find_end(reader, plan)
    identity, done = identity_of(lineage, end), 0

    def batches() -> Iterator[list[RawEvent]]:
        nonlocal done
        for batch in _batches(reader, plan, end):
            yield batch
            done += len(batch)
            advance(done)

    try:
        store.restore(batches(), identity)
    except InvalidError as error:
        raise DamagedBackupError(plan.chain, str(error)) from None
    return Restored(done, end), identity


def _find_end(reader: Reader, plan: Plan) -> tuple[LogIdentity | None, int]:
    """Return the identity in the last file, and the position of the last event to restore."""
    backup, manifest = plan.parts[-1]
    end = backup.after
    with reader.opened(backup, manifest) as file:
        lineage = lineage_of(file, backup.after)
        for event in read_events(file, backup.after):
            if plan.target.is_after(event):
                break
            end = event.position
    if not end:
        raise BackupError("the log had no event then; name a later position or time")
    return lineage, end


def _batches(reader: Reader, plan: Plan, end: int) -> Iterator[list[RawEvent]]:
    for backup, manifest in plan.parts:
        count = 0
        with reader.opened(backup, manifest) as file:
            events = read_events(file, backup.after)
            while batch := list(islice(events, _BATCH)):
                count += len(batch)
                if kept := [event for event in batch if event.position <= end]:
                    yield kept
        if count != manifest.events:
            raise DamagedBackupError(backup.name, "its manifest counts other events")


def _choose(place: Place, name: str | None) -> Chain:
    chains = read_catalog(place).chains
    for chain in reversed(chains):
        if name in (None, chain.name):
            return chain
    if chains:
        raise BackupError(f"{place.url} has no chain {name}; cinelog backup list shows them")
    raise BackupError(f"{place.url} has no backup")


def _still_restorable(
    error: DamagedBackupError, parts: Sequence[tuple[Backup, Manifest]]
) -> DamagedBackupError:
    hint = "choose another chain with --chain"
    if parts:
        hint = f"the chain can be restored with --to-position {parts[-1][0].until}, or {hint}"
    return DamagedBackupError(error.name, f"{error.reason}; {hint}")
