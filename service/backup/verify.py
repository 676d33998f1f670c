"""Verification: every file of every backup is read and compared with its manifest."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from commands.event_store.event_codec import RawEvent
from service.backup.catalog import Backup, path_in, read_catalog
from service.backup.manifest import read_manifest
from service.backup.segments import Reader, check_digest, digest_of
from service.errors import DamagedBackupError
from service.transfer.event_file import read_events


class Damage(NamedTuple):
    """What is wrong with a file."""

    name: str
    reason: str


class ChainState(NamedTuple):
    """A chain, and how far it can be restored."""

    name: str
    backups: int
    position: int
    """The last position that can be restored; 0 if nothing can."""
    until: int
    """The last position that was backed up."""


class Verified(NamedTuple):
    """What was found."""

    chains: list[ChainState]
    damage: list[Damage]
    decoded: bool
    """Whether all events were read, too: encrypted files need the private key for that."""


def verify(
    reader: Reader, advance: Callable[[int, int], object] = lambda _done, _total: None
) -> Verified:
    """Check all backups. Raises BackupError, and ConfigurationError for a wrong key.

    ``advance`` is called with the number of files checked, of how many.
    """
    catalog = read_catalog(reader.place)
    backups = [one for chain in catalog.chains for one in chain.backups]
    damage = [Damage(one.name, "its chain lacks an earlier backup") for one in catalog.broken]
    good: dict[str, list[Backup]] = {}
    decoded = True
    for done, backup in enumerate(backups, 1):
        try:
            decoded &= _check(reader, backup)
            good.setdefault(backup.chain, []).append(backup)
        except DamagedBackupError as error:
            damage.append(Damage(error.name, error.reason))
        advance(done, len(backups))
    states = []
    for chain in catalog.chains:
        path = path_in(good.get(chain.name, []))
        position = path[-1].until if path else 0
        states.append(ChainState(chain.name, len(chain.backups), position, chain.last.until))
    return Verified(states, damage, decoded)


def _check(reader: Reader, backup: Backup) -> bool:
    """Check a backup; return whether its events could be read. Raises DamagedBackupError."""
    manifest = read_manifest(reader.place, backup)
    if backup.encrypted and not reader.has_key:
        check_digest(backup, manifest, digest_of(reader.place, backup.name))
        return False
    with reader.opened(backup, manifest) as file:
        found = _summary(read_events(file, backup.after))
    if found != (manifest.events, backup.until):
        raise DamagedBackupError(backup.name, "its manifest counts other events")
    return True


def _summary(events: Iterator[RawEvent]) -> tuple[int, int]:
    count = position = 0
    for event in events:
        count, position = count + 1, event.position
    return count, position
