"""A damaged store is noticed, takes no writes, and is read as far as possible."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from commands.database.sqlite.writer_lock import WriterLock
from commands.errors import ConfigurationError, StoreDamagedError
from commands.event_store.event_codec import UNREADABLE
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, create, register
from tests.damaged import INDEX, PAGE, TABLE, cut, damaged_copy_of, junk_page, leaf_pages, overwrite

EVENTS = 603  # an account with its two claims, and movies


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A closed store of some 50 pages."""
    path = tmp_path_factory.mktemp("filled") / "events.db"
    store = Store.open(f"sqlite:///{path}")
    commit(store, [register(ANN)])
    for _ in range(3):
        commit(store, [create() for _ in range(200)])
    assert store.head() == store.count() == EVENTS
    store.close()
    return path


@pytest.fixture
def path(filled, tmp_path):
    return Path(shutil.copy(filled, tmp_path / "events.db"))


def opened(path, **kwargs):
    return Store.open(f"sqlite:///{path}", **kwargs)


def count_readable(store):
    """Return the number of events that can be read one by one."""
    found = 0
    for position in range(EVENTS):
        try:
            found += len(store.read(position, 1, position + 1))
        except StoreDamagedError:
            continue
    return found


def read_all(store, until):
    return [event for start in range(0, until, 20) for event in store.read(start, 20)]


def middle(numbers):
    return numbers[len(numbers) // 2]


DAMAGES = {
    "half of the last page is gone": lambda path: cut(path, PAGE // 2),
    "the last page is gone": lambda path: cut(path, PAGE),
    "ten pages are gone": lambda path: cut(path, 10 * PAGE),
    "half of the file is gone": lambda path: cut(path, path.stat().st_size // 2),
    "junk instead of a page of events": lambda path: junk_page(
        path, middle(leaf_pages(path, TABLE))
    ),
    "zeros instead of a page of events": lambda path: overwrite(
        path, (middle(leaf_pages(path, TABLE)) - 1) * PAGE, bytes(PAGE)
    ),
    "junk instead of a page of the index": lambda path: junk_page(
        path, middle(leaf_pages(path, INDEX))
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_can_be_read(path, damage):
    """Each start makes a quick check; a marker tells every process."""
    DAMAGES[damage](path)
    store = opened(path)
    assert store.damage.reason
    (answer,) = commit(store, [create()])
    assert isinstance(answer, StoreDamagedError)
    lost = {"half of the file is gone": EVENTS, "ten pages are gone": 300}.get(damage, 40)
    assert EVENTS - lost <= count_readable(store) <= EVENTS
    other = opened(path, create=False)
    assert other.damage.reason == store.damage.reason
    with pytest.raises(StoreDamagedError), other.writer_lock():
        pass
    assert store.integrity.check_pages()
    other.close()
    store.close()
    again = opened(path)
    assert again.damage.reason
    again.close()


def test_full_check_finds_flipped_bytes_in_the_index(path):
    """A quick check misses them: SQLite can read the page, but its keys are wrong."""
    page = middle(leaf_pages(path, INDEX))
    junk_page(path, page, 100)
    store = opened(path, create=False)
    assert store.integrity.check_pages()
    assert store.damage.reason
    store.close()


def test_read_notices_damage_of_a_running_store(path):
    """From then on every process refuses writes."""
    page = middle(leaf_pages(path, TABLE))
    writer, reader = opened(path), opened(path, create=False)
    junk_page(path, page)
    (answer,) = commit(writer, [create()])
    assert not isinstance(answer, Exception)  # the damage is not known yet
    with pytest.raises(StoreDamagedError):
        read_all(reader, EVENTS)
    (answer,) = commit(writer, [create()])
    assert isinstance(answer, StoreDamagedError)
    assert "damaged" in str(answer)
    writer.close()
    reader.close()


def test_repaired_store_takes_writes_again(path, filled):
    junk_page(path, middle(leaf_pages(path, TABLE)))
    store = opened(path)
    assert store.damage.reason
    store.close()
    shutil.copy(filled, path)
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    store = opened(path)
    assert store.damage.reason is None
    (receipt,) = commit(store, [create()])
    assert receipt.position == EVENTS + 1
    store.close()


def test_file_of_another_kind_is_not_damaged(tmp_path):
    path = tmp_path / "events.db"
    path.write_text("no database " * 1000)
    with pytest.raises(ConfigurationError, match="not a database"):
        opened(path)
    assert [one.name for one in tmp_path.glob("*damaged")] == []


@pytest.mark.parametrize("column", ["topic", "originator_version", "state"])
def test_junk_in_a_column_affects_one_event(path, column):
    """This event is unreadable, and the store counts as damaged."""
    with sqlite3.connect(path) as connection:
        junk = "CAST(x'ff1b5b32' AS TEXT)"
        connection.execute(f"UPDATE stored_events SET {column}={junk} WHERE rowid=300")
    connection.close()
    store = opened(path, create=False)
    events = read_all(store, EVENTS)
    assert [event.position for event in events if UNREADABLE in event.data] == [300]
    assert len(events) == EVENTS
    found = store.integrity.check_pages()
    assert any("position 300" in line for line in found)
    assert store.damage.reason
    store.close()


def test_missing_events_are_damage(path):
    """A truncated page reads as zeros: its events remain in the index only."""
    store = opened(path, create=False)
    store.integrity.check_count(EVENTS, EVENTS)
    store.integrity.check_complete(EVENTS)
    with pytest.raises(StoreDamagedError, match="of 603 events 595"):
        store.integrity.check_count(EVENTS, EVENTS - 8)
    store.close()


def test_unreadable_block_of_postgresql_is_damage(postgres):
    """PostgreSQL reports it by SQLSTATE; other blocks can be read."""
    url = postgres()
    store = Store.open(url)
    commit(store, [register(ANN), *(create() for _ in range(200))])
    store.close()
    store = Store.open(damaged_copy_of(url))
    assert store.database_version.startswith("PostgreSQL")
    with pytest.raises(StoreDamagedError):
        read_all(store, 200)
    (answer,) = commit(store, [create()])
    assert isinstance(answer, StoreDamagedError)
    assert store.integrity.check_pages()
    assert store.read(0, 1)
    store.close()


def test_commit_requires_the_writer_lock(sqlite_store):
    """A commit may make a checkpoint: see ``commands/database/sqlite/writer_lock.py``."""
    recorder = sqlite_store._recorder
    with (
        pytest.raises(Exception, match="without the writer lock"),
        recorder.datastore.transaction(commit=True),
    ):
        pass
    with sqlite_store.writer_lock(), recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("SELECT 1")


HOLD = """
import sys, time
from pathlib import Path
from commands.database.sqlite.writer_lock import WriterLock
with WriterLock(Path(sys.argv[1])).acquired(5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_last_connection_waits_for_the_writer_lock(path):
    """It may make a checkpoint. A holder that keeps the lock has the store open, and is the last."""
    wal = path.with_name("events.db-wal")
    store = opened(path)
    commit(store, [create()])
    size = wal.stat().st_size
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, f"{path}-turn"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        lock = WriterLock(path.with_name("events.db-turn"))
        with lock.to_close(wait_s=0.1):
            assert not lock.is_held
        closing = threading.Thread(target=store.close)
        closing.start()
        closing.join(0.3)
        assert closing.is_alive()
        assert wal.stat().st_size == size
        holder.stdin.close()
        assert holder.wait(5) == 0
        closing.join(5)
    assert not wal.exists()
