"""The event store: one log for movies, accounts and claims, opened from a URL.

Nothing is ever deleted.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError

from commands.aggregates.user import User
from commands.errors import (
    ConfigurationError,
    DiskFullError,
    InvalidError,
    TokenNotValidError,
)
from commands.event_store.application import VARIABLE, CinelogApplication, open_application
from commands.event_store.event_codec import RawEvent
from commands.event_store.hybrid_clock import HybridClock
from commands.event_store.log.continuity import Continuity
from commands.event_store.log.event_log import EventLog, LogMark
from commands.event_store.log.known_accounts import KnownAccounts
from commands.event_store.log.log_identity import LogIdentity
from commands.event_store.log_reader import LogReader
from commands.event_store.replica import OnRead, ReplicaReader

# The disk counts as full for so long after an append that found no space.
_DISK_FULL_S = 5.0


class _Writer(threading.local):
    """What a thread knows while it has the writer lock."""

    has_lock = False
    last: tuple[LogMark | None] | None = None
    """The last event of the log, once it was read and as long as this thread appends nothing."""


class Store(LogReader):
    """Loads aggregates, appends their events and reads the log. Safe to share between threads."""

    def __init__(self, application: CinelogApplication) -> None:
        super().__init__(application)
        self.clock = HybridClock()
        """Gives the timestamps of appended events."""
        self.continuity = Continuity(EventLog(self._recorder))
        """Notices that the log is another one, or in another epoch."""
        self.continuity.on_change(application.clear_cache)
        self.accounts = KnownAccounts(EventLog(self._recorder))
        """Which accounts are in the log, and which of them are closed."""
        self.continuity.on_change(self.accounts.forget)
        self._writer = _Writer()
        self._disk_full_until = 0.0
        self._replicas: list[ReplicaReader] = []

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Store":
        """Open ``sqlite:///path`` or ``postgresql://…``; ``create`` makes what is missing.

        Raises ConfigurationError if the URL cannot work or its server does not answer.
        """
        return cls(open_application(url, create=create))

    def reader(self, replica_url: str = "", *, on_read: OnRead = lambda _: None) -> LogReader:
        """Return a reader that prefers a streaming replica of this log, or this store.

        Connects to nothing. Raises ConfigurationError for a URL that cannot work.
        """
        if not replica_url:
            return self
        replica = ReplicaReader.open(
            replica_url, self.continuity, self.head, self._recorder, on_read
        )
        self.continuity.on_change(replica.clear_cache)
        self._replicas.append(replica)
        return replica

    def check_replica(self, url: str) -> None:
        """Raise ConfigurationError if a replica refuses this process, or has another log."""
        if url:
            replica = ReplicaReader.open(url, self.continuity, self.head, self._recorder)
            try:
                replica.check(url)
            finally:
                replica.close()

    def close(self) -> None:
        """Close every connection."""
        for replica in self._replicas:
            replica.close()
        self._recorder.close()
        self._application.close()

    @contextmanager
    def writer_lock(self, *, check: bool = True) -> Iterator[None]:
        """Exclude other writers, so that decisions can be based on what is read now.

        The ``check`` drops cached aggregates if the log is no longer the one they were read from.
        Raises EventStoreUnavailableError, also if another log has taken its place.
        """
        with super().writer_lock():
            writer = self._writer
            if writer.has_lock:
                yield
                return
            writer.has_lock = True
            try:
                writer.last = (self.continuity.check(),) if check else None
                yield
            finally:
                writer.has_lock, writer.last = False, None

    def append(self, aggregates: Sequence[Aggregate]) -> dict[UUID, int]:
        """Save all pending events in one transaction; return each aggregate's last position.

        Raises IntegrityError if an aggregate has moved on, and EventStoreUnavailableError; after
        the latter the events may or may not be in the log.
        """
        self.damage.check()
        try:
            with self._translating(but=IntegrityError):
                positions = self._application.record(aggregates)
        except DiskFullError:
            self._disk_full_until = time.monotonic() + _DISK_FULL_S
            raise
        for one in aggregates:
            if isinstance(one, User) and not one.active:
                self.accounts.close(one.id)
        if positions:
            self._disk_full_until = 0.0
            self._writer.last = None
            self.continuity.appended(max(positions.values()))
        return positions

    def confirm(self) -> None:
        """Wait until all that was read under the writer lock is as durable as an append.

        Raises EventStoreUnavailableError.
        """
        with self._translating():
            self._recorder.confirm()

    def last_timestamp(self) -> datetime | None:
        """Return when the log's last event happened, None if there is no event or no timestamp.

        Requires the writer lock, else the answer is outdated at once.
        """
        (last,) = self._writer.last or (self.snapshot().last,)
        try:
            return datetime.fromisoformat(last.timestamp) if last and last.timestamp else None
        except ValueError:  # the 31st of February
            return None

    def check_account(self, account_id: UUID) -> None:
        """Raise TokenNotValidError if the log has no such account, or a closed one.

        Each is looked up once in an epoch; ``accounts`` follows closings.
        """
        if self.accounts.knows(account_id):
            return
        revision = self.accounts.revision
        user = None if self.accounts.has_closed(account_id) else self.get(User, account_id)
        if user is None or not user.active:
            raise TokenNotValidError
        self.accounts.add(account_id, revision)

    def restore(
        self, batches: Iterable[Sequence[RawEvent]], identity: LogIdentity | None = None
    ) -> None:
        """Write a whole log with its positions into an empty store, in one transaction.

        The log continues as ``identity``, or as a new log. Raises ConfigurationError if the store
        is not empty, InvalidError if two events are the same version of the same stream, and
        whatever ``batches`` raises; nothing is written then.
        """
        self.damage.check()
        rows = (identity or LogIdentity.new()).stored_rows
        try:
            with self._translating(but=IntegrityError):
                restored = self._recorder.restore_rows(batches, rows)
        except IntegrityError:
            wrong = "Two of them are the same version of the same stream."
            raise InvalidError({"events": [wrong]}) from None
        if not restored:
            self.check_empty()

    def check_empty(self) -> None:
        """Raise ConfigurationError if the log has an event."""
        if self.head():
            raise ConfigurationError(VARIABLE, "the event store is not empty; name an empty one")

    def identity(self) -> LogIdentity:
        """Return the log's identity as this process knows it; a log without one gets one."""
        if self.continuity.identity is None:
            self.continuity.refresh()
        if self.continuity.identity is None:
            with self.writer_lock():
                pass
        assert self.continuity.identity is not None  # noqa: S101 - the lock's check sets it
        return self.continuity.identity

    def check_writable(self) -> None:
        """Raise EventStoreUnavailableError while appends are known to fail, or one hangs."""
        self._recorder.writes.check()
        self._recorder.commits.check()

    @property
    def found_disk_full(self) -> bool:
        """Whether an append of this process found no space on disk just now."""
        return time.monotonic() < self._disk_full_until

    def check_disk_space(self) -> None:
        """Raise DiskFullError if an append found no space just now, or would find none."""
        if self.found_disk_full:
            raise DiskFullError
        if hasattr(self._recorder, "check_disk_space"):
            with self._translating():
                self._recorder.check_disk_space()

    @property
    def database_version(self) -> str:
        """The name and version of the database."""
        with self._translating():
            return str(self._recorder.database_version)
