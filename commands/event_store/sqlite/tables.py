"""The tables beside the events in SQLite: epochs of the log, floors of read models."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from eventsourcing.sqlite import SQLiteCursor

from commands.event_store import floors

_EPOCHS = (
    "CREATE TABLE IF NOT EXISTS cinelog_epochs "
    "(log TEXT NOT NULL, epoch INTEGER PRIMARY KEY, parent INTEGER, shared INTEGER NOT NULL)"
)


def create(cursor: SQLiteCursor) -> None:
    """Create the tables that are missing."""
    cursor.execute(_EPOCHS)
    cursor.execute(floors.CREATE)


def select_epochs(raw: sqlite3.Cursor) -> list[tuple[Any, ...]]:
    """Return log, number, parent and shared position of all epochs, by number."""
    return _rows_if_any(raw, "SELECT log, epoch, parent, shared FROM cinelog_epochs ORDER BY epoch")


def select_floor(raw: sqlite3.Cursor, read_model: str) -> int:
    """Return the floor of a read model, 0 if none is stored."""
    found = _rows_if_any(raw, floors.SQLITE_SELECT, read_model)
    return int(found[0][0]) if found else 0


def _rows_if_any(raw: sqlite3.Cursor, query: str, *params: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query; a store of an earlier release lacks the table, and has none."""
    try:
        return raw.execute(query, params).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise


def replace_epochs(cursor: SQLiteCursor, epochs: Sequence[tuple[Any, ...]]) -> None:
    """Replace all epochs."""
    cursor.execute(_EPOCHS)
    cursor.execute("DELETE FROM cinelog_epochs")
    cursor.executemany(
        "INSERT INTO cinelog_epochs (log, epoch, parent, shared) VALUES (?, ?, ?, ?)", list(epochs)
    )
