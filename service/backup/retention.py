"""Retention: an older chain is deleted once it is no longer needed.

The log only grows, so each chain can restore every earlier state of its epoch: older chains are
spare copies, and the only copies of what a later epoch has lost. A chain is kept for the given time
after its last backup. The newest chain is never deleted, and neither is anything while that one is
incomplete.
"""

from datetime import datetime, timedelta

from service.backup.catalog import Chain, parse_name, read_catalog, time_in
from service.backup.manifest import read_manifest
from service.backup.place import Place
from service.errors import DamagedBackupError

_UNFINISHED_FOR = timedelta(days=1)
"""A file without a manifest may belong to a backup that is being made; it is not after a day."""


def delete_expired(place: Place, keep: timedelta | None, now: datetime) -> list[str]:
    """Delete what is no longer needed; return the names of the chains. Raises BackupError.

    Files of a chain are deleted from its end to its beginning, so that an interruption leaves a
    shorter chain.
    """
    catalog = read_catalog(place)
    for name in catalog.unfinished:
        written = time_in(name)
        if written and written + _UNFINISHED_FOR <= now:
            place.delete(name)
    if keep is None or not catalog.chains:
        return []
    *older, newest = catalog.chains
    due = [chain for chain in older if chain.last.at + keep <= now]
    lost = [one for one in catalog.broken if one.chain != newest.name and one.at + keep <= now]
    if not (due or lost) or not _is_intact(place, newest):
        return []
    names = {chain.name for chain in due}
    backups = [one for name in place.names() if (one := parse_name(name))]
    gone = [one for one in backups if one.chain in names or one in lost]
    for one in sorted(gone, key=lambda backup: backup.until, reverse=True):
        place.delete(one.manifest)
        place.delete(one.name)
    return [chain.name for chain in due]


def _is_intact(place: Place, chain: Chain) -> bool:
    try:
        for backup in chain.backups:
            read_manifest(place, backup)
    except DamagedBackupError:
        return False
    return True
