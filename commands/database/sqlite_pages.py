"""Whether the pages of a SQLite file are what SQLite wrote: a quick look, and a check of all.

Each uses a connection of its own: the pool's keep pages in memory that the file may have lost.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from commands.database.damage import damage_in
from commands.database.writer_lock import WriterLock

_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_MOST = 100  # complaints that are told
# SQLite before this version cannot be interrupted in a check, which reads some 800 MB/s at best.
_INTERRUPTIBLE = (3, 42)
_UNINTERRUPTED_BYTES = 512 * 1024 * 1024

_TOPICS = "SELECT DISTINCT topic FROM stored_events WHERE typeof(topic)='text'"
_ODD = (
    "SELECT rowid FROM stored_events WHERE typeof(originator_version)<>'integer'"
    " OR typeof(topic)<>'text' OR typeof(state)<>'blob' OR length(originator_id)<>32"
    " OR originator_id GLOB '*[^0-9a-f]*' ORDER BY rowid LIMIT ?"
)


def quick_check(path: Path, turn: WriterLock, budget_s: float) -> str | None:
    """Return what is wrong with a file as far as ``budget_s`` goes, None where nothing is.

    Its length is always held against its header; then as many of its pages are checked as there is
    time for. A file that is not there is not damaged.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with _connected(path, turn) as connection:
            return _wrong_length(connection, path) or _quick_check(connection, path, budget_s)
    except sqlite3.Error as error:
        return damage_in(error)


def check_pages(path: Path, turn: WriterLock) -> list[str]:
    """Return what is wrong with all pages and with the index, one line for each, at most 100.

    Raises sqlite3.Error where the file cannot be looked at for another reason than damage.
    """
    found: list[str] = []
    try:
        with _connected(path, turn) as connection:
            if wrong := _wrong_length(connection, path):
                found.append(wrong)
            for (text,) in connection.execute(f"PRAGMA integrity_check({_MOST})"):
                if text != "ok":
                    found += text.splitlines()
            found += _odd_rows(connection)
    except sqlite3.Error as error:
        if (said := damage_in(error)) is None:
            raise
        found.append(said)
    return found[:_MOST]


def _odd_rows(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what no Cinelog has written into a column: SQLite checks no contents."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name='stored_events'").fetchone()
    if not known:
        return
    connection.text_factory = bytes
    try:
        odd = [topic for (topic,) in connection.execute(_TOPICS) if not _is_text(topic)]
        for topic in odd[:_MOST]:
            at = "SELECT min(rowid) FROM stored_events WHERE topic=CAST(? AS TEXT)"
            (position,) = connection.execute(at, (topic,)).fetchone()
            yield f"event at position {position}: its type is no text"
        for (position,) in connection.execute(_ODD, (_MOST,)):
            yield f"event at position {position}: its columns are not what was written"
    finally:
        connection.text_factory = str


def _is_text(topic: object) -> bool:
    try:
        return isinstance(topic, bytes) and topic.decode().isprintable()
    except UnicodeDecodeError:
        return False


@contextmanager
def _connected(path: Path, turn: WriterLock) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    with closing(connection):
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA cell_size_check=ON")
        yield connection
        with turn.to_close():
            connection.close()


def _wrong_length(connection: sqlite3.Connection, path: Path) -> str | None:
    """Hold the length of the file against its header, unless the write-ahead log has more of it."""
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        return None
    connection.execute("BEGIN")
    try:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        length = path.stat().st_size
        if wal.exists() and wal.stat().st_size:  # somebody began to write
            return None
    finally:
        connection.execute("ROLLBACK")
    if length >= pages * page_bytes:  # SQLite never looks at what is beyond
        return None
    return f"the file has {length:,} bytes instead of {pages:,} pages of {page_bytes:,}"


def _quick_check(connection: sqlite3.Connection, path: Path, budget_s: float) -> str | None:
    until = time.monotonic() + budget_s
    if sqlite3.sqlite_version_info < _INTERRUPTIBLE:
        if path.stat().st_size > _UNINTERRUPTED_BYTES:
            return None
    else:
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return None if said == "ok" else "SQLite: " + " ".join(said.split())
