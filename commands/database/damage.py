"""Damage: what is known of a store whose pages are not what was written.

1. A database that says that its pages are corrupt is damaged, until somebody has checked all of it
   and found nothing, or another file has taken its place.
2. A damaged store takes no writes, and what can be read of it is read.
3. A marker beside the store tells every process of the machine; without one, each finds out by
   itself.
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
"""Of a file of which nothing can be read."""
# By the lower byte of extended codes; what Python finds out has none.
_SQLITE = {
    sqlite3.SQLITE_CORRUPT: "database disk image is malformed",
    sqlite3.SQLITE_NOTADB: "file is not a database",
}
NO_TEXT = "Could not decode to UTF-8"
"""What Python says of a text that SQLite gives and that is none."""
# data_corrupted, index_corrupted, undefined_file (https://www.postgresql.org/docs/current/
# errcodes-appendix.html).
_SQLSTATES = {"XX001", "XX002", "58P01"}


def damage_in(error: BaseException | None) -> str | None:
    """Return what a database says of its own damage, None where the error is of another kind.

    Nothing that is stored stands in it.
    """
    while error is not None:
        if isinstance(error, psycopg.Error):
            if error.sqlstate in _SQLSTATES:
                return f"PostgreSQL: {error.diag.message_primary or error.sqlstate}"
        elif isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            said = "a text is no UTF-8" if NO_TEXT in str(error) else _SQLITE.get(code)
            if said:
                return f"SQLite: {said}"
        error = error.__cause__
    return None


class Damage:
    """What is known of the damage of one store. Safe to share between threads."""

    def __init__(self, marker: Path | None = None) -> None:
        self._marker = marker
        self._lock = threading.Lock()
        self._own: str | None = None

    def use_marker(self, marker: Path) -> None:
        """Use this marker where there is none yet: PostgreSQL has no file to put one beside."""
        with self._lock:
            if self._marker is None:
                self._marker, own, self._own = marker, self._own, None
            else:
                own = None
        if own:
            self.report(own)

    @property
    def reason(self) -> str | None:
        """What is wrong with the store; None as long as nothing is known."""
        if self._own is not None:
            return self._own
        if self._marker is None:
            return None
        try:
            found = os.stat(self._marker)  # noqa: PTH116 - asked for before each write
        except OSError:
            return None
        return self._read() if found.st_size else "it was found to be damaged"

    def check(self) -> None:
        """Raise StoreDamagedError where the store is known to be damaged."""
        if reason := self.reason:
            raise StoreDamagedError(reason)

    def report(self, reason: str) -> None:
        """Remember that the store is damaged, for this process and the others."""
        with self._lock:
            if self.reason:
                return
            try:
                if self._marker is None:
                    raise OSError  # noqa: TRY301 - the same follows
                self._write(self._marker, reason)
            except OSError:
                self._own = reason

    def clear(self) -> None:
        """Forget it: the store was checked and is whole."""
        with self._lock:
            self._own = None
            if self._marker is not None:
                with suppress(OSError):
                    self._marker.unlink(missing_ok=True)

    @staticmethod
    def _write(marker: Path, reason: str) -> None:
        with os.fdopen(os.open(marker, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(
                json.dumps({"damage": reason, "found_at": rfc3339(datetime.now(UTC))}) + "\n"
            )

    def _read(self) -> str:
        assert self._marker is not None  # noqa: S101 - it has a size
        try:
            said = json.loads(self._marker.read_bytes())["damage"]
        except (OSError, ValueError, LookupError, TypeError):
            said = None
        return said if isinstance(said, str) else "it was found to be damaged"
