"""Checks the pages of a SQLite file: quickly, or all of them.

Each check uses a connection of its own: those of the pool cache pages that the file may have lost.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from commands.database.damage import damage_in
from commands.database.sqlite.writer_lock import WriterLock

_STEPS = 10_000  # of SQLite's virtual machine, between two looks at the clock
_MAX_PROBLEMS = 100
# Earlier versions of SQLite cannot interrupt a check, which reads 800 MB/s at best.
_INTERRUPTIBLE = (3, 42)
_UNINTERRUPTED_BYTES = 512 * 1024 * 1024

_TOPICS = "SELECT DISTINCT topic FROM stored_events WHERE typeof(topic)='text'"
_ODD = (
    "SELECT rowid FROM stored_events WHERE typeof(originator_version)<>'integer'"
    " OR typeof(topic)<>'text' OR typeof(state)<>'blob' OR length(originator_id)<>32"
    " OR originator_id GLOB '*[^0-9a-f]*' ORDER BY rowid LIMIT ?"
)


def quick_check(path: Path, writer_lock: WriterLock, budget_s: float) -> str | None:
    """Return a problem that shows within ``budget_s``, None if there is none.

    Compares the length of the file with its header, then checks pages while there is time. A
    missing file is not damaged.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with _connected(path, writer_lock) as connection:
            return _wrong_length(connection, path) or _quick_check(connection, path, budget_s)
    except sqlite3.Error as error:
        return damage_in(error)


def check_pages(path: Path, writer_lock: WriterLock) -> list[str]:
    """Return the problems of all pages and of the index, one line for each, at most 100.

    Raises sqlite3.Error if the file cannot be checked for another reason than damage.
    """
    problems: list[str] = []
    try:
        with _connected(path, writer_lock) as connection:
            if wrong := _wrong_length(connection, path):
                problems.append(wrong)
            for (text,) in connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})"):
                if text != "ok":
                    problems += text.splitlines()
            problems += _odd_rows(connection)
    except sqlite3.Error as error:
        if (reason := damage_in(error)) is None:
            raise
        problems.append(reason)
    return problems[:_MAX_PROBLEMS]


def _odd_rows(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield columns that no Cinelog has written: SQLite does not check contents."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name='stored_events'").fetchone()
    if not known:
        return
    connection.text_factory = bytes
    try:
        odd = [topic for (topic,) in connection.execute(_TOPICS) if not _is_text(topic)]
        for topic in odd[:_MAX_PROBLEMS]:
            at = "SELECT min(rowid) FROM stored_events WHERE topic=CAST(? AS TEXT)"
            (position,) = connection.execute(at, (topic,)).fetchone()
            yield f"event at position {position}: its type is no text"
        for (position,) in connection.execute(_ODD, (_MAX_PROBLEMS,)):
            yield f"event at position {position}: its columns are not what was written"
    finally:
        connection.text_factory = str


def _is_text(topic: object) -> bool:
    try:
        return isinstance(topic, bytes) and topic.decode().isprintable()
    except UnicodeDecodeError:
        return False


@contextmanager
def _connected(path: Path, writer_lock: WriterLock) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    with closing(connection):
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA cell_size_check=ON")
        yield connection
        with writer_lock.to_close():
            connection.close()


def _wrong_length(connection: sqlite3.Connection, path: Path) -> str | None:
    """Compare the file's length with its header, unless the write-ahead log has newer pages."""
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        return None
    connection.execute("BEGIN")
    try:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        length = path.stat().st_size
        if wal.exists() and wal.stat().st_size:  # a writer began meanwhile
            return None
    finally:
        connection.execute("ROLLBACK")
    if length >= pages * page_bytes:  # SQLite ignores what follows
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
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return None if result == "ok" else "SQLite: " + " ".join(result.split())
