"""Making a backup: the events after the last one, or the whole log where a new chain begins."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from commands.errors import ConfigurationError, EventStoreUnavailableError, StoreDamagedError
from commands.event_store.event_codec import timestamp_in
from commands.event_store.log.event_log import LogMark
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from service.backup.catalog import MANIFEST, Catalog, Chain, new_chain, new_name, read_catalog
from service.backup.encryption import encrypt
from service.backup.manifest import Manifest, read_manifest
from service.backup.place import VARIABLE, Place
from service.backup.retention import delete_expired
from service.backup.segments import store_file
from service.errors import DamagedBackupError
from service.transfer.event_file import EventWriter

_BATCH = 2_000


@dataclass(frozen=True)
class Options:
    """How a backup is made."""

    folder: Path
    """For temporary files without names."""
    recipients: list[Any] = field(default_factory=list)
    """Public keys; without any, the backup is not encrypted."""
    full: bool = False
    """Whether to begin a new chain in any case."""
    full_every: timedelta = timedelta(days=7)
    """A chain that began longer ago is not continued."""
    keep: timedelta | None = None
    """How long an older chain is kept; None keeps all."""


class Made(NamedTuple):
    """A finished backup. Without new events, nothing was written."""

    kind: str
    """``full``, ``incremental`` or ``none``."""
    chain: str
    events: int
    after: int
    position: int
    size: int
    at: str
    """When the log ended at ``position``."""
    expired: list[str]
    """The older chains that were deleted."""


class _Base(NamedTuple):
    """What a backup continues."""

    chain: str
    after: int = 0
    total: int = 0
    latest: str = ""


class _Written(NamedTuple):
    """What a file of events has: their number, and the latest timestamp of the log up to there."""

    events: int
    latest: str


def back_up(
    store: Store, place: Place, options: Options, advance: Callable[[int], object] = lambda _: None
) -> Made:
    """Make a backup of all events up to now, then delete expired chains.

    ``advance`` is called with the number of events read, and with the same number while files are
    transferred. Raises ConfigurationError if the place holds backups of another log,
    DamagedBackupError if what was written cannot be read back, BackupError,
    EventStoreUnavailableError.
    """
    store.damage.check()
    run = _Run(store, place, options, advance)
    catalog = read_catalog(place)
    run.check_log(catalog)
    if run.last is None:
        return Made("none", "", 0, 0, 0, 0, rfc3339(run.now), [])
    base = run.find_base(catalog)
    if base is not None and base.after == run.last.position:
        made = Made("none", base.chain, 0, base.after, base.after, 0, rfc3339(run.now), [])
    else:
        made = run.write(base or _Base(new_chain(run.identity, run.now)), run.last)
    return made._replace(expired=delete_expired(place, options.keep, run.now))


class _Run:
    """One backup, of the log as it is now."""

    def __init__(
        self, store: Store, place: Place, options: Options, advance: Callable[[int], object]
    ) -> None:
        self._store = store
        self._place = place
        self._options = options
        self._advance = advance
        self.identity = store.identity()
        self.now = datetime.now(UTC)
        self.last = store.snapshot().last

    def check_log(self, catalog: Catalog) -> None:
        """Raise ConfigurationError if the place holds backups of another log."""
        for chain in catalog.chains:
            if chain.first.log != self.identity.log:
                raise ConfigurationError(
                    VARIABLE,
                    f"{self._place.url} holds backups of another log, {chain.first.log}, and this"
                    f" is {self.identity.log}; name another place",
                )

    def find_base(self, catalog: Catalog) -> _Base | None:
        """Return what to continue, None if a new chain is to begin.

        A new epoch begins a new chain: the log may have lost events that the old one has.
        """
        chain = catalog.chains[-1] if catalog.chains else None
        if self._options.full or chain is None or chain.first.epoch != self.identity.epoch:
            return None
        if self.now - chain.first.began >= self._options.full_every:
            return None
        return self._continued(chain)

    def _continued(self, chain: Chain) -> _Base | None:
        try:
            end = read_manifest(self._place, chain.last)
        except DamagedBackupError:
            return None
        if self._store.mark_at(end.last.position) != end.last:
            return None
        return _Base(chain.name, end.last.position, end.total, end.latest)

    def write(self, base: _Base, last: LogMark) -> Made:
        """Write the events after ``base`` up to ``last``, then the manifest."""
        options, until, at = self._options, last.position, rfc3339(self.now)
        encrypted = bool(options.recipients)
        name = new_name(base.chain, base.after, until, self.now, encrypted=encrypted)
        with tempfile.TemporaryFile(dir=options.folder) as file:
            written = self._write_events(file, base, until)
            total = base.total + written.events
            self._check_unchanged(last, total)
            with self._encrypted(file) as sealed:
                stored = store_file(
                    self._place, name, sealed, lambda: self._advance(written.events)
                )
        manifest = Manifest(at, written.events, total, last, written.latest, *stored)
        store_file(self._place, name + MANIFEST, io.BytesIO(manifest.to_bytes()))
        kind = "incremental" if base.after else "full"
        return Made(kind, base.chain, written.events, base.after, until, stored.size, at, [])

    def _write_events(self, file: BinaryIO, base: _Base, until: int) -> _Written:
        writer = EventWriter(file, compressed=True, lineage=self.identity, after=base.after)
        position, count, latest = base.after, 0, base.latest
        while events := self._store.read_raw(position, _BATCH, until):
            writer.add(events)
            position = events[-1].position
            count += len(events)
            latest = max(latest, *(timestamp_in(event.state) for event in events))
            self._advance(count)
        writer.finish()
        if position != until:
            raise StoreDamagedError(f"the events after position {position} cannot be read")
        return _Written(count, latest)

    def _check_unchanged(self, last: LogMark, total: int) -> None:
        """Raise an error if the log has lost its end meanwhile, or an event is missing."""
        seen = self._store.snapshot(last.position)
        if (seen.epoch, seen.mark) != ((self.identity.log, self.identity.epoch), last):
            raise EventStoreUnavailableError("the log was set back during the backup; repeat it")
        self._store.integrity.check_count(last.position, total)

    def _encrypted(self, file: BinaryIO) -> BinaryIO:
        """Return ``file``, or its content in an encrypted file."""
        if not self._options.recipients:
            return file
        sealed: Any = tempfile.TemporaryFile(dir=self._options.folder)  # noqa: SIM115 - the caller closes it
        file.seek(0)
        encrypt(file, sealed, self._options.recipients)
        file.close()
        return sealed  # type: ignore[no-any-return]
