"""Connections to a SQLite file that stays the same file."""

import sqlite3
from pathlib import Path
from typing import Any

from eventsourcing.persistence import InterfaceError, ProgrammingError
from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool

from commands.database.damage import Damage
from commands.database.sqlite.writer_lock import WriterLock


class SqlitePool(SQLiteConnectionPool):
    """Connections that sync each commit: an answered write survives a power cut.

    If the file is removed or replaced, the pool gives no connection: a write would go into a file
    without a name, and SQLite would read the write-ahead log of one file with the other. Writing
    requires the writer lock. Closing takes it, because the last connection makes a checkpoint.
    """

    _file: tuple[int, int] | None = None

    def __init__(self, db_name: str, **settings: Any) -> None:
        super().__init__(db_name=db_name, **settings)
        self.writer_lock = WriterLock(Path(f"{db_name}-turn"))
        self.damage = Damage(Path(f"{db_name}-damaged"))

    def get_connection(
        self, timeout: float | None = None, *, is_writer: bool | None = None
    ) -> SQLiteConnection:
        """Return a connection. Raises InterfaceError if the file was removed or replaced.

        Raises ProgrammingError for a writer without the writer lock.
        """
        if is_writer and not self.writer_lock.is_held:
            raise ProgrammingError("a commit without the writer lock")
        if self._file is not None and self._current_file() != self._file:
            raise InterfaceError("its file was removed or replaced; restart the service")
        return super().get_connection(timeout, is_writer=is_writer)

    def _current_file(self) -> tuple[int, int] | None:
        try:
            status = Path(self.db_name).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

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
            raw = connection._sqlite_conn  # noqa: SLF001 - the library has no hook after connecting
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("PRAGMA journal_size_limit=67108864")
        except sqlite3.Error as error:  # a full disk, a file of another kind
            raise InterfaceError(error) from error
        if self._file is None:
            self._file = self._current_file()
        return connection

    def _connection_to_damaged(self) -> SQLiteConnection:
        raw = sqlite3.connect(
            self.db_name, isolation_level=None, check_same_thread=False, timeout=5
        )
        # Without it SQLite reads nothing of a file that is shorter than its header says.
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute("PRAGMA query_only=ON")
        raw.row_factory = sqlite3.Row
        return SQLiteConnection(raw, self.max_age)


def is_locked(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is a lock of another connection."""
    while error is not None:
        code: int = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return True
        error = error.__cause__
    return False
