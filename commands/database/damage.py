"""Damage: what is known of a store whose pages are corrupt.

1. A store is damaged once its database reports corruption, until a full check finds nothing.
2. A damaged store takes no writes; reads go on as far as they can.
3. A marker file beside the store tells every process of the machine; without one, each process
   finds out by itself.
"""

import json
import os
import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from commands.errors import StoreDamagedError
from commands.rfc3339 import rfc3339

NOT_A_DATABASE = "SQLite: file is not a database"
"""The reason for a file of which nothing can be read."""
NO_TEXT = "Could not decode to UTF-8"
"""Python's error for a SQLite text that is not UTF-8; it has no error code."""
_UNKNOWN = "it was found to be damaged"
# By the lower byte of extended error codes.
_SQLITE = {
    sqlite3.SQLITE_CORRUPT: "database disk image is malformed",
    sqlite3.SQLITE_NOTADB: "file is not a database",
}
# data_corrupted, index_corrupted, undefined_file (https://www.postgresql.org/docs/current/
# errcodes-appendix.html).
_SQLSTATES = {"XX001", "XX002", "58P01"}


def damage_in(error: BaseException | None) -> str | None:
    """Return the corruption that a database reports, None for another error.

    The text contains nothing stored.
    """
    while error is not None:
        if isinstance(error, psycopg.Error):
            if error.sqlstate in _SQLSTATES:
                return f"PostgreSQL: {error.diag.message_primary or error.sqlstate}"
        elif isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            reason = "a text is no UTF-8" if NO_TEXT in str(error) else _SQLITE.get(code)
            if reason:
                return f"SQLite: {reason}"
        error = error.__cause__
    return None


class Damage:
    """The known damage of one store. Safe to share between threads."""

    def __init__(self, marker: Path | None = None) -> None:
        self._marker = marker
        self._lock = threading.Lock()
        self._own: str | None = None

    def use_marker(self, marker: Path) -> None:
        """Set the marker file if there is none yet: PostgreSQL has no file to put one beside."""
        with self._lock:
            if self._marker is not None:
                return
            self._marker, own, self._own = marker, self._own, None
        if own:
            self.report(own)

    @property
    def reason(self) -> str | None:
        """Why the store is damaged; None if it is not known to be."""
        if self._own is not None or self._marker is None:
            return self._own
        try:
            status = os.stat(self._marker)  # noqa: PTH116 - faster, and asked before each write
        except OSError:
            return None
        return _read(self._marker) if status.st_size else _UNKNOWN

    def check(self) -> None:
        """Raise StoreDamagedError if the store is known to be damaged."""
        if reason := self.reason:
            raise StoreDamagedError(reason)

    def report(self, reason: str) -> None:
        """Mark the store as damaged, for this process and the others."""
        with self._lock:
            if self.reason:
                return
            try:
                if self._marker is None:
                    raise OSError  # noqa: TRY301 - handled as a marker that cannot be written
                _write(self._marker, reason)
            except OSError:
                self._own = reason

    def clear(self) -> None:
        """Mark the store as intact, after a check of all of it."""
        with self._lock:
            self._own = None
            if self._marker is not None:
                with suppress(OSError):
                    self._marker.unlink(missing_ok=True)


def _write(marker: Path, reason: str) -> None:
    text = json.dumps({"damage": reason, "found_at": rfc3339(datetime.now(UTC))}) + "\n"
    with os.fdopen(os.open(marker, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)


def _read(marker: Path) -> str:
    try:
        reason = json.loads(marker.read_bytes())["damage"]
    except (OSError, ValueError, LookupError, TypeError):
        reason = None
    return reason if isinstance(reason, str) else _UNKNOWN
