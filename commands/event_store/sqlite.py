"""The event store on one machine: SQLite with a write-ahead log, durable at every commit."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

from eventsourcing.persistence import (
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteFactory,
)
from eventsourcing.utils import Environment, EnvType

from commands.database.breaker import Breaker
from commands.database.damage import NO_TEXT, Damage
from commands.database.disk_space import check_disk_space
from commands.database.sqlite_pages import check_pages, quick_check
from commands.database.writer_lock import WriterLock
from commands.errors import EventStoreUnavailableError, OutcomeUnknownError

# What the rows of a read are, in the order of ``commands.event_store.store.Recorded``.
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
_EPOCHS = (
    "CREATE TABLE IF NOT EXISTS cinelog_epochs "
    "(log TEXT NOT NULL, epoch INTEGER PRIMARY KEY, parent INTEGER, shared INTEGER NOT NULL)"
)
_RESTORE = (
    "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
    "VALUES (?, ?, ?, ?, ?)"
)


class SqlitePool(SQLiteConnectionPool):
    """Connections that sync each commit: an answered write survives a power cut.

    Once the file is removed, or another one takes its place, there are none: a write would go into
    a file without a name, and the write-ahead log of one file would be read with the other. One to
    write with is given in a turn only, and those that close may be the last: they checkpoint in a
    turn, too.
    """

    _file: tuple[int, int] | None = None

    def __init__(self, db_name: str, **settings: Any) -> None:
        super().__init__(db_name=db_name, **settings)
        self.writer_lock = WriterLock(Path(f"{db_name}-turn"))
        self.damage = Damage(Path(f"{db_name}-damaged"))

    def get_connection(
        self, timeout: float | None = None, *, is_writer: bool | None = None
    ) -> SQLiteConnection:
        """Return a connection. Raises InterfaceError where the file is not the one it was.

        Raises ProgrammingError for one to write with outside a turn.
        """
        if is_writer and not self.writer_lock.held:
            raise ProgrammingError("a commit outside a turn")
        if self._file is not None and self._file_there() != self._file:
            raise InterfaceError("its file was removed or replaced; restart the service")
        return super().get_connection(timeout, is_writer=is_writer)

    def _file_there(self) -> tuple[int, int] | None:
        try:
            found = Path(self.db_name).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Close every connection."""
        if not self.closed:
            with self.writer_lock.to_close():
                super().close()

    def _create_connection(self) -> SQLiteConnection:
        try:
            if self.damage.reason:
                return self._connection_to_damaged()
            connection = super()._create_connection()
            raw = connection._sqlite_conn  # noqa: SLF001 - the library gives no hook after connecting
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("PRAGMA journal_size_limit=67108864")
        except sqlite3.Error as error:  # a full disk, a file of another kind
            raise InterfaceError(error) from error
        if self._file is None:
            self._file = self._file_there()
        return connection

    def _connection_to_damaged(self) -> SQLiteConnection:
        raw = sqlite3.connect(
            self.db_name, isolation_level=None, check_same_thread=False, timeout=5
        )
        # Of a file that is shorter than its header says, SQLite reads nothing otherwise.
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute("PRAGMA query_only=ON")
        raw.row_factory = sqlite3.Row
        return SQLiteConnection(raw, self.max_age)


class SqliteRecorder(SQLiteApplicationRecorder):
    """A recorder whose writers wait their turn on a file lock."""

    cheap_to_check = True

    def __init__(
        self, datastore: SQLiteDatastore, events_table_name: str = "stored_events"
    ) -> None:
        super().__init__(datastore, events_table_name)
        pool = cast("SqlitePool", datastore.pool)
        self._path = Path(pool.db_name)
        self._turn = pool.writer_lock
        self.damage = pool.damage
        """What is known of the damage of the file."""
        self.writes = Breaker("event store for writers", self._probe, EventStoreUnavailableError)
        """Open while another process keeps writers out."""
        self._turn.breaker = self.writes
        self.database_version = f"SQLite {sqlite3.sqlite_version}"
        """Which database this is, in which version."""

    def writer_lock(self) -> AbstractContextManager[None]:
        """Keep every other writer out, of this process and of others; may be nested.

        Raises EventStoreUnavailableError where another process does not give it away in time.
        """
        return self._turn()

    def quick_check(self, budget_s: float) -> str | None:
        """Return what is wrong with the file as far as a quick look tells, None for nothing."""
        return quick_check(self._path, self._turn, budget_s)

    def check_pages(self) -> list[str]:
        """Return what is wrong with the pages and the index, a line for each."""
        return check_pages(self._path, self._turn)

    def close(self) -> None:
        """End what probes."""
        self.writes.close()

    def _probe(self) -> None:
        with self._turn.tried(), self.datastore.get_connection(commit=True) as connection:
            raw = connection.cursor().sqlite_cursor
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append in one transaction and return the positions."""
        with self.writer_lock():
            try:
                return super().insert_events(stored_events, **kwargs)
            except OperationalError as error:
                if is_locked(error):
                    self.writes.trip("another process locks the database")
                if _unsynced(error):
                    raise OutcomeUnknownError("the file could not be synced") from error
                raise

    def create_table(self) -> None:
        """Create what is missing."""
        with self.writer_lock():
            super().create_table()
            with self.datastore.transaction(commit=True) as cursor:
                cursor.execute(_EPOCHS)

    def select_rows(self, after: int, limit: int, until: int | None) -> list[tuple[Any, ...]]:
        """Return the rows after a position in log order."""
        bound = "AND rowid<=? " if until is not None else ""
        params = (after, *([until] if until is not None else []), limit)
        return self._rows(f"WHERE rowid>? {bound}ORDER BY rowid LIMIT ?", params)

    def select_stream(
        self, stream_id: str, after_version: int, limit: int | None
    ) -> list[tuple[Any, ...]]:
        """Return one stream's rows after a version, oldest first."""
        return self._rows(
            "WHERE originator_id=? AND originator_version>? ORDER BY originator_version LIMIT ?",
            (stream_id.replace("-", ""), after_version, -1 if limit is None else limit),
        )

    def select_continuity(
        self, position: int
    ) -> tuple[tuple[str, int] | None, list[tuple[Any, ...]]]:
        """Return log and number of the newest epoch, and the rows at a position and at the end."""
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None
            epochs = _epochs_in(raw)
            newest = epochs[-1][:2] if epochs else None
            raw.execute(_SELECT + _KNOWN_AND_LAST, (position,))
            return newest, raw.fetchall()

    def select_epochs(self) -> list[tuple[Any, ...]]:
        """Return log, number, parent and shared position of every epoch."""
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None
            return _epochs_in(raw)

    def replace_epochs(self, epochs: Sequence[tuple[Any, ...]]) -> None:
        """Write these epochs and no others."""
        with self.writer_lock(), self.datastore.transaction(commit=True) as cursor:
            _replace(cursor, epochs)

    def _rows(self, where: str, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._fetched(where, params)
        except OperationalError as error:
            if NO_TEXT not in str(error):
                raise
            self.damage.report("SQLite: a text is no UTF-8")
            return self._fetched(where, params, _escaped)

    def _fetched(
        self, where: str, params: tuple[Any, ...], text: Callable[[bytes], str] = str
    ) -> list[tuple[Any, ...]]:
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None  # plain tuples: the library's rows cost twice the time
            raw.connection.text_factory = text
            try:
                raw.execute(_SELECT + where, params)
                return raw.fetchall()
            finally:
                raw.connection.text_factory = str

    def select_by_stream(self, after: tuple[str, int], limit: int) -> list[tuple[Any, ...]]:
        """Return the rows after a stream's version, stream by stream."""
        stream_id, version = after
        return self._rows(
            "WHERE (originator_id, originator_version)>(?, ?) "
            "ORDER BY originator_id, originator_version LIMIT ?",
            (stream_id.replace("-", ""), version, limit),
        )

    def restore_rows(
        self, batches: Iterable[Sequence[tuple[Any, ...]]], epochs: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Insert rows with their positions into an empty log, all or none; False if not empty.

        These epochs take the place of those it had.
        """
        with self.writer_lock(), self.datastore.transaction(commit=True) as cursor:
            if self._max_notification_id(cursor):
                return False
            for batch in batches:
                cursor.executemany(
                    _RESTORE,
                    [(row[0], row[1].replace("-", ""), *row[2:]) for row in batch],
                )
            _replace(cursor, epochs)
        return True

    def check_disk_space(self) -> None:
        """Raise OSError where the file system takes no more."""
        check_disk_space(self._path.parent)

    def select_indexed(self) -> list[int]:
        """Return the positions that the index by streams knows, in its order."""
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None
            raw.execute(_INDEXED)
            return [position for (position,) in raw.fetchall()]

    def select_torn(self, limit: int) -> list[tuple[Any, ...]]:
        """Return streams whose versions are not 1, 2, 3, …, each with its last position."""
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None
            raw.execute(
                "SELECT originator_id, max(rowid) FROM stored_events GROUP BY originator_id"
                " HAVING max(originator_version)<>count(*) LIMIT ?",
                (limit,),
            )
            return raw.fetchall()

    def count_both(self, until: int) -> tuple[int, int]:
        """Return how many rows there are up to a position: by the index, and as they are read."""
        with self.datastore.transaction(commit=False) as cursor:
            raw = cursor.sqlite_cursor
            raw.row_factory = None
            raw.execute(_COUNT_INDEXED, (until,))
            (indexed,) = raw.fetchone()
            read = position = 0
            while True:
                raw.execute(
                    "SELECT rowid FROM stored_events NOT INDEXED WHERE rowid>? AND rowid<=?"
                    " ORDER BY rowid LIMIT 10000",
                    (position, until),
                )
                # On a page that is damaged there may be others, also in this place of the order.
                found = {one for (one,) in raw.fetchall() if one > position}
                if not found:
                    return indexed, read
                read, position = read + len(found), max(found)

    def count_rows(self) -> int:
        """Return how many events are stored; a restored log may have gaps, so they are counted."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) FROM stored_events")
            return int(cursor.fetchone()[0])


def is_locked(error: BaseException | None) -> bool:
    """Tell whether ``error``, or what caused it, says that another connection holds a lock."""
    while error is not None:
        code: int = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return True
        error = error.__cause__
    return False


def _unsynced(error: BaseException) -> bool:
    """Tell whether a commit was written, but perhaps not to the disk."""
    code: int = getattr(error.__cause__, "sqlite_errorcode", 0)
    return code == sqlite3.SQLITE_IOERR_FSYNC


def _epochs_in(raw: sqlite3.Cursor) -> list[tuple[Any, ...]]:
    try:
        raw.execute("SELECT log, epoch, parent, shared FROM cinelog_epochs ORDER BY epoch")
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # a store of an earlier release
            return []
        raise
    return raw.fetchall()


class NoText(str):
    """What was stored as text and is none, each byte that is wrong escaped."""

    __slots__ = ()


def _escaped(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return NoText(text.decode(errors="backslashreplace"))


def _replace(cursor: SQLiteCursor, epochs: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute(_EPOCHS)
    cursor.execute("DELETE FROM cinelog_epochs")
    cursor.executemany(
        "INSERT INTO cinelog_epochs (log, epoch, parent, shared) VALUES (?, ?, ?, ?)", list(epochs)
    )


class Factory(SQLiteFactory):
    """Builds the recorder above for ``SQLITE_DBNAME``."""

    application_recorder_class = SqliteRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        name = self.datastore.pool.db_name
        self.datastore.pool = SqlitePool(name, lock_timeout=2, pool_timeout=3.0)
