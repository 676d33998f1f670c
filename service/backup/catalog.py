"""The catalog of a place: which backups there are. The names of the files tell all of it.

A *full* backup has the log from its beginning, an *incremental* one the events after another
backup. A *chain* is a full backup and the incremental ones that continue it. A backup has two
files::

    <began>_<log>.<epoch>_<after>-<until>_<at>_<token>.jsonl.gz[.age]
    … the same name, and .manifest

``began`` and the log name the chain, ``at`` is the time of the backup (both like
``20261128T020000.000000Z``), whose events are those after position ``after`` up to ``until``. The
manifest is written last, once the other file was read back: a file without one counts for nothing.
The token keeps two processes that make a backup at once from writing the same file; both results
are good.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from commands.event_store.log.log_identity import LogIdentity
from service.backup.place import Place

MANIFEST = ".manifest"
ENCRYPTED = ".age"
_TIME = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(
    r"(?P<began>\d{8}T\d{6}\.\d{6}Z)_(?P<log>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"\.(?P<epoch>[0-9]{1,18})_(?P<after>\d{19})-(?P<until>\d{19})"
    r"_(?P<at>\d{8}T\d{6}\.\d{6}Z)_[0-9a-f]{8}\.jsonl\.gz(?P<age>\.age)?"
)
# What a write that was killed leaves in a directory has a dot before and more behind.
_LEFTOVER = re.compile(rf"\.?{_NAME.pattern}(\..*)?")


class Backup(NamedTuple):
    """A backup, as the name of its file tells."""

    name: str
    chain: str
    log: str
    epoch: int
    began: datetime
    """When its chain began."""
    after: int
    until: int
    at: datetime
    encrypted: bool

    @property
    def manifest(self) -> str:
        """The name of its manifest."""
        return self.name + MANIFEST

    @property
    def kind(self) -> str:
        """``full`` or ``incremental``."""
        return "incremental" if self.after else "full"


@dataclass(frozen=True)
class Chain:
    """The backups of one chain, in the order in which they continue each other."""

    name: str
    backups: tuple[Backup, ...]

    @property
    def first(self) -> Backup:
        """The full backup."""
        return self.backups[0]

    @property
    def last(self) -> Backup:
        """The backup that reaches the furthest."""
        return self.backups[-1]


class Catalog(NamedTuple):
    """The chains in a place, the oldest first, and what belongs to none."""

    chains: tuple[Chain, ...]
    broken: tuple[Backup, ...]
    """Backups whose chain lacks an earlier one."""
    unfinished: tuple[str, ...]
    """Files of backups that were not finished, or are being made."""


def read_catalog(place: Place) -> Catalog:
    """Return what a place holds; files of other names are ignored. Raises BackupError."""
    names = {name for name in place.names() if _LEFTOVER.fullmatch(name)}
    whole = [one for name in sorted(names) if (one := parse_name(name)) and one.manifest in names]
    by_chain: dict[str, list[Backup]] = {}
    for one in whole:
        by_chain.setdefault(one.chain, []).append(one)
    chains = [Chain(name, path) for name, found in by_chain.items() if (path := path_in(found))]
    chains.sort(key=lambda chain: (chain.first.began, chain.name))
    ends = {chain.name: chain.last.until for chain in chains}
    broken = tuple(one for one in whole if one.until > ends.get(one.chain, 0))
    finished = {name for one in whole for name in (one.name, one.manifest)}
    return Catalog(tuple(chains), broken, tuple(sorted(names - finished)))


def path_in(backups: Iterable[Backup]) -> tuple[Backup, ...]:
    """Return the backups that lead the furthest from the beginning of the log.

    Two processes may have made backups after the same position; one of them is enough.
    """
    reached: dict[int, Backup | None] = {0: None}
    for one in sorted(backups, key=lambda backup: backup.until):
        if one.after in reached:
            reached.setdefault(one.until, one)
    path: list[Backup] = []
    step = reached[max(reached)]
    while step is not None:
        path.append(step)
        step = reached[step.after]
    return tuple(reversed(path))


def new_chain(log: LogIdentity, now: datetime) -> str:
    """Return the name of a chain that begins now."""
    return f"{now.strftime(_TIME)}_{log}"


def new_name(chain: str, after: int, until: int, at: datetime, *, encrypted: bool) -> str:
    """Return the name of a file that no other process writes."""
    range_ = f"{after:019}-{until:019}"
    suffix = ENCRYPTED if encrypted else ""
    return f"{chain}_{range_}_{at.strftime(_TIME)}_{secrets.token_hex(4)}.jsonl.gz{suffix}"


def parse_name(name: str) -> Backup | None:
    """Return the backup in a file, None for a file of another name."""
    match = _NAME.fullmatch(name)
    if match is None or not int(match["after"]) < int(match["until"]):
        return None
    log, epoch = match["log"], int(match["epoch"])
    return Backup(
        name,
        f"{match['began']}_{log}.{epoch}",
        log,
        epoch,
        _time(match["began"]),
        int(match["after"]),
        int(match["until"]),
        _time(match["at"]),
        bool(match["age"]),
    )


def time_in(name: str) -> datetime | None:
    """Return when a file of a backup, whole or not, was written, None for any other file."""
    match = _LEFTOVER.fullmatch(name)
    return _time(match["at"]) if match else None


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
