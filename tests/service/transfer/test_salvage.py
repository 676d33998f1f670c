"""Check of a damaged event store, and export of its readable events."""

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from commands.event_store.store import Store
from commands.execution.group_commit import commit
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
def data_dir(filled, tmp_path):
    return Path(shutil.copytree(filled, tmp_path / "var"))


def rows_of(path):
    with closing(Store.open(f"sqlite:///{path}", create=False)) as store:
        return store.read_raw(0, 10_000, 10_000)


def salvage(data_dir, *args):
    """Salvage; return the exit code, the report, and the events after an import of the file."""
    file = data_dir.parent / "salvaged.jsonl.gz"
    done = run(data_dir, "export", "--events", file, "--salvage", "--json", "--force", *args)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr
    other = data_dir.parent / "other"
    shutil.rmtree(other, ignore_errors=True)
    imported = run(other, "import", "--events", file)
    assert imported.returncode == 0, imported.stderr
    return done.returncode, json.loads(done.stdout), rows_of(other / "events.db")


def check(data_dir):
    done = run(data_dir, "check", "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def middle(numbers):
    return numbers[len(numbers) // 2]


def inner(path, kind):
    """Return the page above all leaves of a table or index."""
    file = path.read_bytes()
    (found,) = [n for n in range(2, len(file) // PAGE + 1) if file[(n - 1) * PAGE] == kind]
    return found


def test_undamaged_store_is_salvaged_completely(data_dir):
    assert check(data_dir) == (0, {"whole": True, "events": EVENTS, "pages": [], "wrong": []})
    before = rows_of(data_dir / "events.db")
    code, report, after = salvage(data_dir)
    assert (code, report["events"], report["lost"], report["undecoded"]) == (0, EVENTS, [], [])
    assert after == before


# Each damage, and the most events that it may lose.
DAMAGES = {
    "a page of events": (lambda path: junk_page(path, middle(leaf_pages(path, TABLE))), 40),
    "the page above all events": (lambda path: junk_page(path, inner(path, INNER)), 0),
    "a page of the index": (lambda path: junk_page(path, middle(leaf_pages(path, INDEX))), 0),
    "the page above the index": (lambda path: junk_page(path, inner(path, 2)), 0),
    "the first page": (lambda path: junk_page(path, 1), 0),
    "the last page": (lambda path: cut(path, PAGE), 40),
    "half of the last page": (lambda path: cut(path, PAGE // 2), 40),
    "half of the file": (lambda path: cut(path, path.stat().st_size // 2), EVENTS),
    "the middle of a page": (
        lambda path: junk_page(path, middle(leaf_pages(path, TABLE)), 100),
        40,
    ),
    "zeros": (
        lambda path: overwrite(path, (middle(leaf_pages(path, TABLE)) - 1) * PAGE, bytes(PAGE)),
        40,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_readable_events_are_salvaged(data_dir, name):
    """The bytes are unchanged, the report lists lost positions, and the file can be imported."""
    damage, most = DAMAGES[name]
    before = {row.position: row for row in rows_of(data_dir / "events.db")}
    damage(data_dir / "events.db")
    code, report, after = salvage(data_dir)
    lost = {n for one in report["lost"] for n in range(one["first"], one["last"] + 1)}
    there = {row.position: row for row in after}
    changed = set(report["undecoded"])
    wrong = [n for n, row in there.items() if n not in changed and before.get(n) != row]
    assert len(wrong) <= (1 if name == "the middle of a page" else 0)
    assert there.keys() >= before.keys() - lost - set(range(max(there), EVENTS + 1))
    assert not there.keys() & lost
    assert len(before) - len(there) <= most
    assert (code == 1) == bool(lost or changed)
    if name != "the first page":
        found, report = check(data_dir)
        assert found == 1
        assert report["pages"]


def test_events_in_the_write_ahead_log_are_salvaged(data_dir):
    """A killed process leaves a write-ahead log."""
    path = data_dir / "events.db"
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
    _, report, after = salvage(data_dir)
    assert report["events"] >= EVENTS
    assert after[:EVENTS] == before


def test_undamaged_blocks_of_postgresql_are_salvaged(postgres, tmp_path):
    """The report lists the positions of the lost events."""
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
    report = json.loads(done.stdout)
    lost = {n for one in report["lost"] for n in range(one["first"], one["last"] + 1)}
    assert 5 < len(lost) < 60
    assert run(tmp_path / "other", "import", "--events", file).returncode == 0
    after = {row.position: row for row in rows_of(tmp_path / "other" / "events.db")}
    assert after == {n: row for n, row in before.items() if n not in lost}
    done = run(tmp_path / "var", "status", "--json", **settings)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["event_store"]["state"] == "damaged"


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_random_damage_leaves_most_events_readable(data_dir, seed):
    """Almost every salvaged event equals its original, and what is lost is listed.

    With these seeds the trees of the table lead past most events, in part without an error.
    """
    path = data_dir / "events.db"
    before = {row.position: row for row in rows_of(path)}
    rng = random.Random(seed)
    size = path.stat().st_size
    for _ in range(4):
        overwrite(path, rng.randrange(size - 600), rng.randbytes(rng.randrange(1, 600)))
    code, report, after = salvage(data_dir)
    assert code == 1
    wrong = [row for row in after if before.get(row.position) != row]
    lost = sum(one["last"] - one["first"] + 1 for one in report["lost"])
    assert len(after) + lost >= EVENTS - 20
    assert len(after) > EVENTS * 0.9
    assert len(wrong) <= 20


def test_undecodable_event_is_kept_and_listed(data_dir):
    with sqlite3.connect(data_dir / "events.db") as connection:
        connection.execute("UPDATE stored_events SET state=x'7b22' WHERE rowid=300")
    connection.close()
    code, report = check(data_dir)
    assert code == 1
    assert [(one["first"], one["last"]) for one in report["wrong"]] == [(300, 300)]
    code, report, after = salvage(data_dir)
    assert (code, report["events"], report["undecoded"]) == (1, EVENTS, [300])
    assert after[299].state == b'{"'


def test_incomplete_stream_is_reported(data_dir):
    with sqlite3.connect(data_dir / "events.db") as connection:
        query = "SELECT rowid FROM stored_events WHERE originator_id=? AND originator_version=1"
        (first,) = connection.execute(query, (MOVIE.hex,)).fetchone()
        connection.execute("DELETE FROM stored_events WHERE rowid=?", (first,))
    connection.close()
    code, report = check(data_dir)
    assert code == 1
    assert str(MOVIE) in json.dumps(report["wrong"])


def test_wrong_use_is_refused(data_dir):
    done = run(data_dir, "export", data_dir.parent / "x", "--salvage")
    assert done.returncode == 2
    assert "--events" in done.stderr
    done = run(data_dir.parent / "nothing", "check")
    assert done.returncode == 2


def test_repaired_store_accepts_writes_after_a_check(data_dir):
    (data_dir / "events.db-damaged").write_text('{"damage": "it was"}\n')
    code, report = check(data_dir)
    assert (code, report["whole"]) == (0, True)
    assert not (data_dir / "events.db-damaged").exists()
