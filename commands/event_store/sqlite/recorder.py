"""The event store on one machine: SQLite with a write-ahead log, durable at every commit."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteDatastore,
    SQLiteFactory,
)
from eventsourcing.utils import Environment, EnvType

from commands.database.breaker import Breaker
from commands.database.commit_watch import CommitWatch
from commands.database.damage import NO_TEXT
from commands.database.deadline import left_s
from commands.database.disk_space import check_disk_space
from commands.database.sqlite.pages import check_pages, quick_check
from commands.database.sqlite.pool import SqlitePool, is_locked
from commands.database.sqlite.text import escaped
from commands.errors import EventStoreUnavailableError, OutcomeUnknownError
from commands.event_store import floors
from commands.event_store.event_codec import Row
from commands.event_store.sqlite import tables

_WRITER_LOCK_S = 2.5
# The columns of ``commands.event_store.event_codec.Row``.
_SELECT_ID = "SELECT originator_id FROM stored_events "
_SELECT = "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "
_KNOWN_AND_LAST = "WHERE rowid IN (?, (SELECT max(rowid) FROM stored_events))"
_INDEXED = (
    "SELECT rowid FROM stored_events INDEXED BY sqlite_autoindex_stored_events_1"
    " WHERE originator_id>=''"
)
_COUNT_INDEXED = (
    "SELECT count(*) FROM stored_events INDEXED BY sqlite_autoindex_stored_events_1"
    " WHERE originator_id>='' AND rowid<=?"
)
_COUNT_READ = (
    "SELECT rowid FROM stored_events NOT INDEXED WHERE rowid>? AND rowid<=?"
    " ORDER BY rowid LIMIT 10000"
)
_TORN = (
    "SELECT originator_id, max(rowid) FROM stored_events GROUP BY originator_id"
    " HAVING max(originator_version)<>count(*) LIMIT ?"
)
_RESTORE = (
    "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
    "VALUES (?, ?, ?, ?, ?)"
)


class SqliteRecorder(SQLiteApplicationRecorder):
    """A recorder that writes under the writer lock."""

    cheap_to_check = True

    def __init__(
        self, datastore: SQLiteDatastore, events_table_name: str = "stored_events"
    ) -> None:
        super().__init__(datastore, events_table_name)
        pool = cast("SqlitePool", datastore.pool)
        self._path = Path(pool.db_name)
        self._lock = pool.writer_lock
        self.damage = pool.damage
        """The known damage of the file."""
        self.commits = CommitWatch()
        self.writes = Breaker("event store for writers", self._probe, EventStoreUnavailableError)
        """Open while another process keeps writers out."""
        self.database_version = f"SQLite {sqlite3.sqlite_version}"

    @contextmanager
    def writer_lock(self) -> Iterator[None]:
        """Exclude every other writer, of this process and of others; may be nested in a thread.

        Raises EventStoreUnavailableError if another process does not release it in time.
        """
        if self._lock.is_held:
            yield
            return
        self.writes.check()
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock.acquired(left_s(_WRITER_LOCK_S)))
            except TimeoutError as error:
                self.writes.trip(str(error))
                raise EventStoreUnavailableError(str(error)) from error
            yield

    def quick_check(self, budget_s: float) -> str | None:
        """Return a problem of the file that shows within ``budget_s``, None if there is none."""
        return quick_check(self._path, self._lock, budget_s)

    def check_pages(self) -> list[str]:
        """Return the problems of the pages and the index, one line for each."""
        return check_pages(self._path, self._lock)

    def check_disk_space(self) -> None:
        """Raise OSError if the file system has no space."""
        check_disk_space(self._path.parent)

    def close(self) -> None:
        """Stop probing."""
        self.writes.close()

    def _probe(self) -> None:
        with self._lock.acquired(1.0), self.datastore.get_connection(commit=True) as connection:
            raw = connection.cursor().sqlite_cursor
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append in one transaction, return the positions. Raises OutcomeUnknownError."""
        with self.writer_lock():
            try:
                with self.commits.watching():
                    return super().insert_events(stored_events, **kwargs)
            except OperationalError as error:
                if is_locked(error):
                    self.writes.trip("another process locks the database")
                if getattr(error.__cause__, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_FSYNC:
                    raise OutcomeUnknownError("the file could not be synced") from error
                raise

    def confirm(self) -> None:
        """Do nothing: what can be read is durable, as there is no other server."""

    def create_table(self) -> None:
        """Create what is missing."""
        with self.writer_lock():
            super().create_table()
            with self.datastore.transaction(commit=True) as cursor:
                tables.create(cursor)

    def select_rows(self, after: int, limit: int, until: int | None) -> list[Row]:
        """Return the rows after a position in log order."""
        bound = "AND rowid<=? " if until is not None else ""
        params = (after, *([until] if until is not None else []), limit)
        return self._rows(f"WHERE rowid>? {bound}ORDER BY rowid LIMIT ?", params)

    def select_types(self, topics: Sequence[str], after: int, until: int) -> list[Row]:
        """Return the rows of some topics in a range of positions, in log order."""
        marks = ",".join("?" * len(topics))
        where = f"WHERE rowid>? AND rowid<=? AND topic IN ({marks}) ORDER BY rowid"
        return self._rows(where, (after, until, *topics))

    def select_types_of(self, stream_ids: Sequence[str], topics: Sequence[str]) -> list[Row]:
        """Return the rows of some topics of some streams, by stream and version."""
        ids = [stream_id.replace("-", "") for stream_id in stream_ids]
        streams, types = (",".join("?" * len(one)) for one in (ids, topics))
        return self._rows(
            f"WHERE originator_id IN ({streams}) AND topic IN ({types})"
            " ORDER BY originator_id, originator_version",
            (*ids, *topics),
        )

    def select_stream(self, stream_id: str, after_version: int, limit: int | None) -> list[Row]:
        """Return one stream's rows after a version, oldest first."""
        return self._rows(
            "WHERE originator_id=? AND originator_version>? ORDER BY originator_version LIMIT ?",
            (stream_id.replace("-", ""), after_version, -1 if limit is None else limit),
        )

    def select_existing(self, stream_ids: Sequence[str]) -> list[str]:
        """Return those streams that have a first event."""
        ids = [stream_id.replace("-", "") for stream_id in stream_ids]
        marks = ",".join("?" * len(ids))
        where = f"WHERE originator_version=1 AND originator_id IN ({marks})"
        with self._plain_cursor() as raw:
            return [row[0] for row in raw.execute(_SELECT_ID + where, ids)]

    def select_continuity(self, position: int) -> tuple[tuple[str, int] | None, list[Row]]:
        """Return log and number of the newest epoch, and the rows at a position and at the end."""
        with self._plain_cursor() as raw:
            epochs = tables.select_epochs(raw)
            rows = raw.execute(_SELECT + _KNOWN_AND_LAST, (position,)).fetchall()
            return epochs[-1][:2] if epochs else None, rows

    def select_epochs(self) -> list[tuple[Any, ...]]:
        """Return log, number, parent and shared position of every epoch."""
        with self._plain_cursor() as raw:
            return tables.select_epochs(raw)

    def replace_epochs(self, epochs: Sequence[tuple[Any, ...]]) -> None:
        """Replace all epochs."""
        with self.writer_lock(), self.datastore.transaction(commit=True) as cursor:
            tables.replace_epochs(cursor, epochs)

    def select_floor(self, read_model: str) -> int:
        """Return the floor of a read model, 0 if none is stored."""
        with self._plain_cursor() as raw:
            return tables.select_floor(raw, read_model)

    def raise_floor(self, read_model: str, generation: int) -> None:
        """Store a floor unless it is lower than the stored one."""
        with self.writer_lock(), self.datastore.transaction(commit=True) as cursor:
            cursor.execute(floors.SQLITE_RAISE, (read_model, generation))

    @contextmanager
    def _plain_cursor(self) -> Iterator[sqlite3.Cursor]:
        """Yield a cursor that returns tuples: the library's rows cost twice the time."""
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None
            yield raw

    def _rows(self, where: str, params: tuple[Any, ...]) -> list[Row]:
        try:
            return self._fetched(where, params)
        except OperationalError as error:
            if NO_TEXT not in str(error):
                raise
            self.damage.report("SQLite: a text is no UTF-8")
            return self._fetched(where, params, escaped)

    def _fetched(
        self, where: str, params: tuple[Any, ...], text: Callable[[bytes], str] = str
    ) -> list[Row]:
        with self._plain_cursor() as raw:
            raw.connection.text_factory = text
            try:
                return raw.execute(_SELECT + where, params).fetchall()
            finally:
                raw.connection.text_factory = str

    def select_by_stream(self, after: tuple[str, int], limit: int) -> list[Row]:
        """Return the rows after a stream's version, stream by stream."""
        stream_id, version = after
        return self._rows(
            "WHERE (originator_id, originator_version)>(?, ?) "
            "ORDER BY originator_id, originator_version LIMIT ?",
            (stream_id.replace("-", ""), version, limit),
        )

    def restore_rows(
        self, batches: Iterable[Sequence[Row]], epochs: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Insert all rows and replace all epochs; return False if the log is not empty."""
        with self.writer_lock(), self.datastore.transaction(commit=True) as cursor:
            if self._max_notification_id(cursor):
                return False
            for batch in batches:
                cursor.executemany(
                    _RESTORE,
                    [(row[0], row[1].replace("-", ""), *row[2:]) for row in batch],
                )
            tables.replace_epochs(cursor, epochs)
        return True

    def select_indexed(self) -> list[int]:
        """Return the positions in the index by streams, in its order."""
        with self._plain_cursor() as raw:
            return [position for (position,) in raw.execute(_INDEXED)]

    def select_torn(self, limit: int) -> list[tuple[Any, ...]]:
        """Return streams with missing versions, each with its last position."""
        with self._plain_cursor() as raw:
            return raw.execute(_TORN, (limit,)).fetchall()

    def count_both(self, until: int) -> tuple[int, int]:
        """Return the number of rows up to a position: by the index, and by reading them."""
        with self._plain_cursor() as raw:
            (indexed,) = raw.execute(_COUNT_INDEXED, (until,)).fetchone()
            read = position = 0
            # A damaged page may return earlier positions again.
            while found := {
                one for (one,) in raw.execute(_COUNT_READ, (position, until)) if one > position
            }:
                read, position = read + len(found), max(found)
            return indexed, read

    def count_rows(self) -> int:
        """Return the number of events; a restored log may have gaps in its positions."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) FROM stored_events")
            return int(cursor.fetchone()[0])


class Factory(SQLiteFactory):
    """Builds a SqliteRecorder for ``SQLITE_DBNAME``."""

    application_recorder_class = SqliteRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        name = self.datastore.pool.db_name
        self.datastore.pool = SqlitePool(name, lock_timeout=2, pool_timeout=3.0)
