"""The event store: one log for movies, accounts and claims, opened from a URL.

The position (the library's notification id) orders everything. Nothing is ever deleted.
"""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import orjson
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.domain import Aggregate, OriginatorVersionError
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.utils import TopicError

from commands.claims import Claim, username_claim
from commands.database.database_errors import translating_db_errors
from commands.database.integrity_check import Integrity
from commands.errors import (
    ConfigurationError,
    DiskFullError,
    InvalidError,
    NotFoundError,
    StoreDamagedError,
    TokenNotValidError,
    UnreadableEventError,
)
from commands.event_store.application import VARIABLE, EventLog, open_log
from commands.event_store.continuity import Continuity, LogLook, LogMark
from commands.event_store.hybrid_clock import HybridClock
from commands.event_store.log_identity import LogIdentity
from commands.event_types import CURRENT_VERSIONS, DECODE_ERRORS, EVENT_TYPES, upcast
from commands.movie import Movie
from commands.rfc3339 import is_timestamp
from commands.user import User

A = TypeVar("A", bound=Aggregate)
UNREADABLE = "unreadable"
# How many accounts a process knows to be there.
_ACCOUNTS = 50_000
# For so long after an append that failed for lack of room, the store counts as having none.
_NO_ROOM_S = 5.0
# As we write it; other writers may put spaces between.
_STAMP = re.compile(
    rb'"timestamp":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"'
)


class RecordedEvent(NamedTuple):
    """One stored event, decoded."""

    position: int
    """Its place in the whole log, from 1; PostgreSQL leaves gaps."""
    stream_id: str
    """The aggregate's id, with dashes."""
    version: int
    """Its number within the aggregate, from 1."""
    type: str
    """Its stored name, such as ``MovieCreated``."""
    data: dict[str, Any]
    """Its fields; ``timestamp`` is RFC 3339 text. Of an event that cannot be read there is none
    but ``UNREADABLE``: why not."""


class RawEvent(NamedTuple):
    """One event as it is stored; its other fields are those of ``RecordedEvent``."""

    position: int
    stream_id: str
    version: int
    type: str
    state: bytes
    """Its fields, byte for byte."""


class Store:
    """Appends events and reads them. Synchronous and safe to share between threads."""

    def __init__(self, log: EventLog) -> None:
        self._application = log
        self.clock = HybridClock()
        """Stamps what is appended here."""
        self._recorder = cast("Any", log.recorder)
        self.integrity = Integrity(self._recorder)
        """Finds out whether the database is damaged."""
        self.damage = self.integrity.damage
        """What is known of the damage of the database; a damaged one takes no writes."""
        self._reached = partial(translating_db_errors, damage=self.damage)
        self._tips = threading.local()
        self._no_room_until = 0.0
        self.continuity = Continuity(self)
        """Which log and epoch this is; notices when it is another one."""
        self.continuity.on_change(log.forget)
        self._accounts: set[UUID] = set()
        self.continuity.on_change(self._accounts.clear)

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Store":
        """Open ``sqlite:///path`` or ``postgresql://…``; ``create`` makes what is missing.

        Raises ConfigurationError where the URL cannot work or its server does not answer.
        """
        return cls(open_log(url, create=create))

    def close(self) -> None:
        """Close every connection."""
        self._recorder.close()
        self._application.close()

    def append(self, aggregates: Sequence[Aggregate]) -> dict[UUID, int]:
        """Save all pending events in one transaction; return each aggregate's last position.

        Raises IntegrityError when one of them has moved on, and EventStoreUnavailableError; after
        the latter the events may or may not be in the log.
        """
        self.damage.check()
        try:
            with self._reached(but=IntegrityError):
                recordings = self._application.save(*aggregates)
        except DiskFullError:
            self._no_room_until = time.monotonic() + _NO_ROOM_S
            raise
        positions = {one.domain_event.originator_id: one.notification.id for one in recordings}
        if positions:
            self._no_room_until = 0.0
            self._tips.known = None
            self.continuity.appended(max(positions.values()))
        return positions

    @contextmanager
    def writer_lock(self, *, check: bool = True) -> Iterator[None]:
        """Hold back other writers, so that what is read now can be built on.

        Notices first whether the log is still the one that was read before: what was kept of it is
        forgotten where it is not. Raises EventStoreUnavailableError, also where another log has
        taken its place. May be nested. Without the ``check`` nothing is noticed.
        """
        self.damage.check()
        with self._reached(but=IntegrityError), self._recorder.writer_lock():
            if getattr(self._tips, "inside", False):
                yield
                return
            self._tips.inside = True
            try:
                self._tips.known = (self.continuity.check(),) if check else None
                yield
            finally:
                self._tips.inside, self._tips.known = False, None

    def get(self, kind: type[A], stream_id: UUID) -> A | None:
        """Return the aggregate as it is now, or None where there is none of this kind.

        Raises UnreadableEventError, as all do that return one.
        """
        with self._reached(), _readable(stream_id):
            try:
                found: Aggregate = self._application.repository.get(stream_id)
            except AggregateNotFoundError:
                return None
        return found if isinstance(found, kind) else None

    def movie(self, movie_id: UUID) -> Movie:
        """Return a movie that is there. Raises NotFoundError."""
        movie = self.get(Movie, movie_id)
        if movie is None:
            raise NotFoundError
        movie.ensure_exists()
        return movie

    def movie_at(self, movie_id: UUID, version: int) -> Movie:
        """Return a movie as it was at a version it has had."""
        with self._reached(), _readable(movie_id):
            movie: Movie = self._application.repository.get(movie_id, version=version)
        return movie

    def user(self, account_id: UUID) -> User:
        """Return an account. Raises NotFoundError."""
        user = self.get(User, account_id)
        if user is None:
            raise NotFoundError("No such account.")
        return user

    def is_known_account(self, account_id: UUID) -> bool:
        """Return whether this process has found an account in the log; costs nothing."""
        return account_id in self._accounts

    def check_account(self, account_id: UUID) -> None:
        """Raise TokenNotValidError where the log has no such account.

        One that was found is not looked for again in this epoch: accounts stay.
        """
        if account_id in self._accounts:
            return
        if self.get(User, account_id) is None:
            raise TokenNotValidError
        if len(self._accounts) >= _ACCOUNTS:
            self._accounts.clear()
        self._accounts.add(account_id)

    def username_of(self, account_id: str) -> str:
        """Return an account's username. Raises NotFoundError."""
        try:
            return self.user(UUID(account_id)).username
        except StoreDamagedError:
            # Its first event has the name, and may be read where a later one cannot.
            for event in self.read_stream(UUID(account_id), limit=1):
                if EVENT_TYPES.get(event.type) is User.Created and UNREADABLE not in event.data:
                    return str(event.data["username"])
            raise

    def account_id_of(self, username: str) -> UUID | None:
        """Return who holds a username, without regard to case."""
        claim = self.get(Claim, username_claim(username))
        return UUID(claim.owner) if claim else None

    def read(self, after: int, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]:
        """Return up to ``limit`` events after a position (and up to ``until``), in log order."""
        with self._reached():
            rows = self._recorder.select_rows(after, limit, until)
        self._check_order(rows, after)
        return _decoded(rows)

    def read_timestamps(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Return positions and times of up to ``limit`` events after a position, in log order.

        Times are as ``rfc3339`` writes them; "" where an event does not tell its own. Costs a
        fraction of ``read``: nothing is decoded.
        """
        with self._reached():
            rows = self._recorder.select_rows(after, limit, None)
        self._check_order(rows, after)
        return [(row[0], _stamp_in(row[4])) for row in rows]

    def _check_order(self, rows: list[tuple[Any, ...]], after: int) -> None:
        """Raise StoreDamagedError where rows do not ascend, as those of a damaged page."""
        positions = [row[0] for row in rows]
        if positions and (positions[0] <= after or positions != sorted({*positions})):
            reason = "events stand out of order"
            self.damage.report(reason)
            raise StoreDamagedError(reason)

    def last_timestamp(self) -> datetime | None:
        """Return when the log's last event happened; None where there is none, or it is not told.

        To be built on only in a ``turn``.
        """
        known = getattr(self._tips, "known", None)
        (tip,) = known or (self.look_at(0).tip,)
        stamp = tip.stamp if tip else ""
        try:
            return datetime.fromisoformat(stamp) if stamp else None
        except ValueError:  # the 31st of February
            return None

    def read_raw(self, after: int, limit: int, until: int) -> list[RawEvent]:
        """Return up to ``limit`` events after a position, up to ``until``, as they are stored."""
        with self._reached():
            rows = self._recorder.select_rows(after, limit, until)
        self._check_order(rows, after)
        return [
            RawEvent(position, _with_dashes(stream), version, topic, state)
            for position, stream, version, topic, state in rows
        ]

    def decoding_problem(self, event: RawEvent) -> str | None:
        """Return why an event cannot be decoded, None where it can; nothing of it is told."""
        _, stream, version, topic, state = event
        if type(version) is not int or type(topic) is not str or type(state) is not bytes:
            return "its columns are not what was written"
        try:
            self._application.mapper.to_domain_event(
                StoredEvent(UUID(stream), version, topic, state)
            )
        except (TopicError, *DECODE_ERRORS) as error:
            return f"it cannot be decoded ({type(error).__name__})"
        return None

    def indexed_positions(self) -> list[int]:
        """Return the positions that the index of a SQLite store knows, ascending."""
        with self._reached():
            return sorted(self._recorder.select_indexed())

    def torn_streams(self) -> list[tuple[str, int]]:
        """Return up to 100 streams that lack an event, each with its last position."""
        with self._reached():
            rows: list[tuple[Any, int]] = self._recorder.select_torn(100)
        return [(_with_dashes(stream), position) for stream, position in rows]

    def read_by_stream(self, after: tuple[str, int], limit: int = 1000) -> list[RecordedEvent]:
        """Return up to ``limit`` events after a stream's version, stream by stream.

        Streams come in the order of their ids, that of movies being the order of their creation.
        """
        with self._reached():
            return _decoded(self._recorder.select_by_stream(after, limit))

    def restore(
        self, batches: Iterable[Sequence[RawEvent]], identity: LogIdentity | None = None
    ) -> None:
        """Write a whole log with its positions into an empty store, in one transaction.

        It goes on as ``identity``, or as a log of its own, decided in the same transaction.
        All of it is written or, where anything is raised or the process ends, nothing. Raises
        ConfigurationError where the store is not empty, InvalidError where two events have the same
        place, and what ``batches`` raises.
        """
        self.damage.check()
        rows = _rows_of(identity or LogIdentity.new())
        try:
            with self._reached(but=IntegrityError):
                restored = self._recorder.restore_rows(batches, rows)
        except IntegrityError:
            wrong = "Two of them are the same version of the same stream."
            raise InvalidError({"events": [wrong]}) from None
        if not restored:
            self.check_empty()

    def check_empty(self) -> None:
        """Raise ConfigurationError unless nothing was ever written."""
        if self.head():
            raise ConfigurationError(VARIABLE, "the event store is not empty; name an empty one")

    def read_stream(
        self, stream_id: UUID, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return one aggregate's events after a version, oldest first."""
        with self._reached():
            return _decoded(self._recorder.select_stream(str(stream_id), after_version, limit))

    def last_version(self, kind: type[Aggregate], stream_id: UUID) -> int:
        """Return how many events a stream has; 0 where it is empty or of another kind."""
        first = self.read_stream(stream_id, limit=1)
        if not first or EVENT_TYPES.get(first[0].type) not in vars(kind).values():
            return 0
        with self._reached():
            (last,) = self._recorder.select_events(stream_id, desc=True, limit=1)
        return int(last.originator_version)

    def look_at(self, position: int) -> LogLook:
        """Return the newest epoch, the event at a position and the last one, read at one time."""
        with self._reached():
            newest, rows = self._recorder.select_continuity(position)
        marks = {row[0]: _mark_of(row) for row in rows}
        tip = marks[max(marks)] if marks else None
        return LogLook(newest, marks.get(position), tip)

    def mark_at(self, position: int) -> LogMark | None:
        """Return the mark of the event at a position, None where there is none."""
        return self.look_at(position).known

    def read_identity(self) -> LogIdentity | None:
        """Return which log this is, None where that was not decided yet."""
        with self._reached():
            rows = self._recorder.select_epochs()
        return LogIdentity.of_rows(rows[0][0], (row[1:] for row in rows)) if rows else None

    def write_identity(self, identity: LogIdentity) -> None:
        """Decide which log and epoch this is, in a turn."""
        self.damage.check()
        with self._reached():
            self._recorder.replace_epochs(_rows_of(identity))

    def identity(self) -> LogIdentity:
        """Return which log and epoch this is, as this process knows it; decided if need be."""
        if self.continuity.identity is None:
            self.continuity.refresh()
        if self.continuity.identity is None:
            with self.writer_lock():
                pass
        assert self.continuity.identity is not None  # noqa: S101 - a turn decides it
        return self.continuity.identity

    def check_writable(self) -> None:
        """Raise EventStoreUnavailableError while appends are known to fail; costs nothing."""
        self._recorder.writes.check()

    def check_disk_space(self) -> None:
        """Raise DiskFullError where an append failed for lack of room just now, or would fail."""
        if time.monotonic() < self._no_room_until:
            raise DiskFullError
        if hasattr(self._recorder, "check_disk_space"):
            with self._reached():
                self._recorder.check_disk_space()

    def head(self) -> int:
        """Return the last position, 0 for an empty log."""
        with self._reached():
            return self._recorder.max_notification_id() or 0

    @property
    def database_version(self) -> str:
        """Which database this is, in which version."""
        with self._reached():
            return str(self._recorder.database_version)

    def count(self) -> int:
        """Return how many events are stored."""
        with self._reached():
            return int(self._recorder.count_rows())


def _decoded(rows: list[tuple[Any, ...]]) -> list[RecordedEvent]:
    loads, current = orjson.loads, CURRENT_VERSIONS.get
    new = tuple.__new__  # what Recorded() does, at a third of the time; a replay makes millions
    recorded = []
    for position, stream, version, topic, state in rows:
        try:
            if type(version) is not int or type(topic) is not str:
                raise ValueError("its columns are not what was written")
            data = loads(state)
            stored_as = data.pop("class_version", 1)  # the library writes no number for the first
            if stored_as != current(topic, stored_as):
                upcast(topic, data, stored_as)
        except DECODE_ERRORS as error:
            data = {UNREADABLE: f"{type(error).__name__}: {error}"}
            kept = _kept(position, stream, version, topic)
            recorded.append(new(RecordedEvent, (*kept, data)))
        else:
            recorded.append(
                new(RecordedEvent, (position, _with_dashes(stream), version, topic, data))
            )
    return recorded


def _kept(position: int, stream: Any, version: Any, topic: Any) -> tuple[int, str, int, str]:
    """Return what is left of the columns of an event that cannot be read."""
    return (
        position,
        _with_dashes(stream),
        version if type(version) is int else 0,
        str(topic),
    )


def _stamp_in(state: bytes) -> str:
    # No text of another field can look like this: its quotes are escaped.
    state = state.encode() if isinstance(state, str) else state  # another tool may write text
    if found := _STAMP.search(state):
        return found[1].decode()
    try:
        stamp = orjson.loads(state)["timestamp"]
    except DECODE_ERRORS:
        return ""
    return stamp if is_timestamp(stamp) else ""


def _mark_of(row: tuple[Any, ...]) -> LogMark:
    position, stream, version, _, state = row
    return LogMark(position, f"{_with_dashes(stream)}:{version}@{_stamp_in(state)}")


def _rows_of(identity: LogIdentity) -> list[tuple[Any, ...]]:
    return [(identity.log, *epoch) for epoch in identity.epochs]


def _with_dashes(stream: Any) -> str:
    """Return a stream's id; SQLite stores 32 hexadecimal digits, PostgreSQL gives a UUID."""
    if type(stream) is str:
        return f"{stream[:8]}-{stream[8:12]}-{stream[12:16]}-{stream[16:20]}-{stream[20:]}"
    return str(stream)


@contextmanager
def _readable(stream_id: UUID) -> Iterator[None]:
    """Turn what the library and our events raise over a broken event into our word for it."""
    try:
        yield
    except (OriginatorVersionError, TopicError, *DECODE_ERRORS) as error:
        raise UnreadableEventError(stream_id) from error
