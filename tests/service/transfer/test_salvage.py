"""Check of a damaged event store, and export of what is readable."""

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from commands.event_store.store import Store
from commands.group_commit import commit
from tests.controls import ANN, MOVIE, create, register, update
from tests.damaged import INDEX, PAGE, TABLE, cut, damaged_copy_of, junk_page, leaf_pages, overwrite
from tests.running import run

EVENTS = 605
INNER = 5


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A data directory with a closed store; one event is longer than a page."""
    folder = tmp_path_factory.mktemp("filled")
    with closing(Store.open(f"sqlite:///{folder}/events.db")) as store:
        commit(store, [register(ANN), create(MOVIE)])
        for _ in range(3):
            commit(store, [create(title=f"Élan {n}") for n in range(200)])
        commit(store, [update(title="Aliens", request_id="x" * 9000)])
        assert store.head() == EVENTS
    return folder


@pytest.fixture
def var(filled, tmp_path):
    return Path(shutil.copytree(filled, tmp_path / "var"))


def rows_of(path):
    with closing(Store.open(f"sqlite:///{path}", create=False)) as store:
        return store.read_raw(0, 10_000, 10_000)


def salvaged(var, *args):
    """Salvage; return the exit code, the report, and the events after an import of the file."""
    file = var.parent / "salvaged.jsonl.gz"
    done = run(var, "export", "--events", file, "--salvage", "--json", "--force", *args)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr
    other = var.parent / "other"
    shutil.rmtree(other, ignore_errors=True)
    taken = run(other, "import", "--events", file)
    assert taken.returncode == 0, taken.stderr
    return done.returncode, json.loads(done.stdout), rows_of(other / "events.db")


def checked(var):
    done = run(var, "check", "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def some(numbers):
    return numbers[len(numbers) // 2]


def inner(path, kind):
    """Return the page above all leaves of a table or index."""
    file = path.read_bytes()
    (found,) = [n for n in range(2, len(file) // PAGE + 1) if file[(n - 1) * PAGE] == kind]
    return found


def test_undamaged_store(var):
    assert checked(var) == (0, {"whole": True, "events": EVENTS, "pages": [], "wrong": []})
    before = rows_of(var / "events.db")
    code, said, after = salvaged(var)
    assert (code, said["events"], said["lost"], said["undecoded"]) == (0, EVENTS, [], [])
    assert after == before


# What is written over, and how many events that costs at most.
DAMAGES = {
    "a page of events": (lambda path: junk_page(path, some(leaf_pages(path, TABLE))), 40),
    "the page above all events": (lambda path: junk_page(path, inner(path, INNER)), 0),
    "a page of the index": (lambda path: junk_page(path, some(leaf_pages(path, INDEX))), 0),
    "the page above the index": (lambda path: junk_page(path, inner(path, 2)), 0),
    "the first page": (lambda path: junk_page(path, 1), 0),
    "the last page": (lambda path: cut(path, PAGE), 40),
    "half of the last page": (lambda path: cut(path, PAGE // 2), 40),
    "half of the file": (lambda path: cut(path, path.stat().st_size // 2), EVENTS),
    "the middle of a page": (lambda path: junk_page(path, some(leaf_pages(path, TABLE)), 100), 40),
    "zeros": (
        lambda path: overwrite(path, (some(leaf_pages(path, TABLE)) - 1) * PAGE, bytes(PAGE)),
        40,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_readable_events_are_salvaged(var, name):
    """Byte for byte, with a list of lost positions; and the file can be imported."""
    damage, most = DAMAGES[name]
    before = {row.position: row for row in rows_of(var / "events.db")}
    damage(var / "events.db")
    code, said, after = salvaged(var)
    lost = {n for one in said["lost"] for n in range(one["first"], one["last"] + 1)}
    there = {row.position: row for row in after}
    changed = set(said["undecoded"])
    wrong = [n for n, row in there.items() if n not in changed and before.get(n) != row]
    assert len(wrong) <= (1 if name == "the middle of a page" else 0)
    assert there.keys() >= before.keys() - lost - set(range(max(there), EVENTS + 1))
    assert not there.keys() & lost
    assert len(before) - len(there) <= most
    assert (code == 1) == bool(lost or changed)
    if name != "the first page":
        found, said = checked(var)
        assert found == 1
        assert said["pages"]


def test_events_in_the_write_ahead_log_are_salvaged(var):
    """The write-ahead log of a killed process."""
    path = var / "events.db"
    before = rows_of(path)
    connection = sqlite3.connect(path, isolation_level=None)
    state = json.dumps({"timestamp": "2026-01-02T12:00:00.000250Z", "owner": "x"}).encode()
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.executemany(
        "INSERT INTO stored_events VALUES (?, 1, 'ClaimMade', ?)",
        [(f"{n:032x}", state) for n in range(50)],
    )
    kept = {name: path.with_name(name).read_bytes() for name in ("events.db", "events.db-wal")}
    connection.close()
    for name, content in kept.items():
        path.with_name(name).write_bytes(content)
    path.with_name("events.db-shm").unlink(missing_ok=True)
    junk_page(path, 1)
    wal = path.with_name("events.db-wal")
    assert wal.stat().st_size
    _, said, after = salvaged(var)
    assert said["events"] >= EVENTS
    assert after[:EVENTS] == before


def test_postgresql_with_damaged_block(postgres, tmp_path):
    """Events in other blocks are salvaged; the list has the lost ones."""
    url = postgres()
    with closing(Store.open(url)) as store:
        commit(store, [register(ANN), *(create() for _ in range(200))])
        before = {row.position: row for row in store.read_raw(0, 1000, 1000)}
    settings = {"event_store_url": damaged_copy_of(url)}
    (tmp_path / "var").mkdir(mode=0o700)
    done = run(tmp_path / "var", "check", "--json", **settings)
    assert done.returncode == 1, done.stderr
    file = tmp_path / "salvaged.jsonl"
    done = run(tmp_path / "var", "export", "--events", file, "--salvage", "--json", **settings)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    lost = {n for one in said["lost"] for n in range(one["first"], one["last"] + 1)}
    assert 5 < len(lost) < 60
    assert run(tmp_path / "other", "import", "--events", file).returncode == 0
    after = {row.position: row for row in rows_of(tmp_path / "other" / "events.db")}
    assert after == {n: row for n, row in before.items() if n not in lost}
    done = run(tmp_path / "var", "status", "--json", **settings)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["event_store"]["state"] == "damaged"


def test_random_damage(var):
    """Random bytes anywhere: almost every salvaged event is an original one."""
    path = var / "events.db"
    before = {row.position: row for row in rows_of(path)}
    chance = random.Random(7)
    size = path.stat().st_size
    for _ in range(4):
        overwrite(path, chance.randrange(size - 600), chance.randbytes(chance.randrange(1, 600)))
    _, _, after = salvaged(var)
    wrong = [row for row in after if before.get(row.position) != row]
    assert len(after) > EVENTS // 2
    assert len(wrong) <= 20


def test_undecodable_event_is_kept_and_listed(var):
    with sqlite3.connect(var / "events.db") as connection:
        connection.execute("UPDATE stored_events SET state=x'7b22' WHERE rowid=300")
    connection.close()
    code, said = checked(var)
    assert code == 1
    assert [(one["first"], one["last"]) for one in said["wrong"]] == [(300, 300)]
    code, said, after = salvaged(var)
    assert (code, said["events"], said["undecoded"]) == (1, EVENTS, [300])
    assert after[299].state == b'{"'


def test_incomplete_stream_is_reported(var):
    with sqlite3.connect(var / "events.db") as connection:
        query = "SELECT rowid FROM stored_events WHERE originator_id=? AND originator_version=1"
        (first,) = connection.execute(query, (MOVIE.hex,)).fetchone()
        connection.execute("DELETE FROM stored_events WHERE rowid=?", (first,))
    connection.close()
    code, said = checked(var)
    assert code == 1
    assert str(MOVIE) in json.dumps(said["wrong"])


def test_wrong_use(var):
    done = run(var, "export", var.parent / "x", "--salvage")
    assert done.returncode == 2
    assert "--events" in done.stderr
    done = run(var.parent / "nothing", "check")
    assert done.returncode == 2


def test_repaired_store_accepts_writes_after_a_check(var):
    (var / "events.db-damaged").write_text('{"damage": "it was"}\n')
    code, said = checked(var)
    assert (code, said["whole"]) == (0, True)
    assert not (var / "events.db-damaged").exists()
