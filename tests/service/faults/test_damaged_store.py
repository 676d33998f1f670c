"""A service with a damaged store refuses writes and serves the readable data."""

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing

import httpx
import pytest

from commands.event_store.store import Store
from service.processes.integrity_checker import IntegrityChecker
from tests.controls import ALIEN
from tests.damaged import INDEX, PAGE, TABLE, cut, junk_page, leaf_pages
from tests.running import Cinelog, eventually, problem, run

MOVIES = 400


def start_service(data_dir, **settings):
    """Start a service with a fixed issuer, so that tokens stay valid across restarts."""
    return Cinelog(data_dir, issuer="https://cinelog.example", **settings)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The data directory of a stopped service with some movies, and a token of ann."""
    folder = tmp_path_factory.mktemp("stopped")
    rows = folder / "movies.csv"
    lines = (f"Movie {number},Drama,{1900 + number % 100}\n" for number in range(MOVIES))
    rows.write_text("title,genre,year\n" + "".join(lines))
    with start_service(folder / "var") as service:
        token = service.account("ann").pair["access"]
        done = run(folder / "var", "import", rows, "--as", "ann")
        assert done.returncode == 0, done.stderr
        listed = service.client(token)
        eventually(lambda: listed.get("/movies/").json()["count"] == MOVIES)
    return folder / "var", token


@pytest.fixture
def token(stopped):
    """An access token of ann, issued before the damage."""
    return stopped[1]


@pytest.fixture
def var(stopped, tmp_path):
    return shutil.copytree(stopped[0], tmp_path / "var")


def middle_of(numbers):
    return numbers[len(numbers) // 2]


def store_state(service):
    return httpx.get(f"{service.url}/readyz").json()["event_store"]


DAMAGES = {
    "truncated last page": lambda path: cut(path, PAGE // 2),
    "junk in a middle page": lambda path: junk_page(path, middle_of(leaf_pages(path, TABLE))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_served_read_only(var, token, damage):
    DAMAGES[damage](var / "events.db")
    with start_service(var) as service:
        client = service.client(token)
        created = client.post("/movies/", json={"title": "A", "genre": "B", "year": 2000})
        refusal = problem(created, 503, "unavailable")
        assert "damaged" in refusal["detail"]
        assert int(created.headers["Retry-After"]) > 0
        listed = client.get("/movies/")
        assert (listed.status_code, listed.json()["count"]) == (200, MOVIES)
        first = client.get("/movies/?ordering=created_at").json()["results"][0]
        assert client.get(f"/movies/{first['id']}/").status_code == 200
        assert client.get(f"/movies/{first['id']}/history/").status_code == 200
        assert httpx.get(f"{service.url}/readyz").status_code == 503
        assert store_state(service)["state"] == "damaged"
        output = service.output()
        assert output.count("the event store is damaged and is only read") == 1
        for command in ("status", "verify", "rebuild", "export"):
            args = [var.parent / "movies.jsonl"] if command == "export" else ["--json"]
            done = run(var, command, *args)
            assert done.returncode == 1, (command, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr
        done = run(var, "verify", "--repair")
        assert done.returncode == 1
        assert client.get("/movies/").json()["count"] == MOVIES
        assert "Traceback" not in service.output()


def test_damage_found_while_running_stops_writes(var, token):
    """After a command detects damage, all workers refuse writes and readiness fails."""
    page = middle_of(leaf_pages(var / "events.db", TABLE))
    with start_service(var, workers=2) as service:
        assert store_state(service)["state"] == "ok"
        junk_page(var / "events.db", page)
        done = run(var, "status", "--json")
        assert done.returncode == 1
        status = json.loads(done.stdout)["event_store"]
        assert (status["state"], "damage" in status) == ("damaged", True)
        for _ in range(6):
            created = httpx.post(
                f"{service.url}/api/v1/movies/",
                json={"title": "A", "genre": "B", "year": 2000},
                headers={"Authorization": f"Bearer {token}"},
            )
            problem(created, 503, "unavailable")
        eventually(lambda: store_state(service)["state"] == "damaged")


def test_a_rebuild_keeps_rows_missing_from_the_log(var, token):
    """A rebuild keeps rows whose events are missing from an otherwise intact file."""
    with start_service(var) as service:
        with sqlite3.connect(var / "events.db") as connection:
            connection.execute("DELETE FROM stored_events WHERE rowid BETWEEN 100 AND 107")
        connection.close()
        done = run(var, "rebuild")
        assert done.returncode == 1
        assert "fewer" not in done.stdout
        assert "built from" in done.stderr
        assert service.client(token).get("/movies/").json()["count"] == MOVIES


def test_no_read_model_is_built_from_a_truncated_log(var, token):
    """Lists return 503 instead of fewer movies."""
    cut(var / "events.db", PAGE // 2)
    shutil.rmtree(var / "redis.aof")
    with start_service(var) as service:
        eventually(lambda: "projection waits" in service.output())
        problem(service.client(token).get("/movies/"), 503, "unavailable")


def test_status_shows_the_database_version(stopped):
    done = run(stopped[0], "status", "--json")
    assert json.loads(done.stdout)["event_store"]["version"].startswith("SQLite 3.")


def test_verify_finds_a_corrupt_index_page(var):
    """``verify`` fails even though log and read model agree."""
    page = middle_of(leaf_pages(var / "events.db", INDEX))
    junk_page(var / "events.db", page, 100)
    done = run(var, "verify")
    assert done.returncode == 1
    assert "event store: " in done.stderr
    assert done.stdout.isprintable() or "\x1b" not in done.stdout


def test_the_integrity_checker_finds_damage_in_unread_pages(var):
    """The integrity checker scans all pages repeatedly and reports no damage in an intact store."""
    path = var / "events.db"
    page = middle_of(leaf_pages(path, INDEX))
    with closing(Store.open(f"sqlite:///{path}", create=False)) as store:
        with IntegrityChecker(store, delay_s=0.0, interval_s=0.01, share=1.0):
            time.sleep(0.2)
            assert store.damage.reason is None
            junk_page(path, page, 100)
            eventually(lambda: store.damage.reason)
        assert "SQLite" in store.database_version


def test_salvage_after_a_truncated_last_page(tmp_path):
    """A rebuild is refused; a salvage reads the other pages."""
    with Cinelog(tmp_path / "var") as service:
        ann = service.account("ann")
        for _ in range(40):
            ann.post("/movies/", json=ALIEN)
    events = run(tmp_path / "var", "status", "--json")
    total = json.loads(events.stdout)["event_store"]["events"]
    path = tmp_path / "var" / "events.db"
    os.truncate(path, path.stat().st_size - 2048)
    refused = run(tmp_path / "var", "rebuild")
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    assert run(tmp_path / "var", "status").returncode == 1
    done = run(tmp_path / "var", "export", tmp_path / "salvaged.jsonl", "--events", "--salvage")
    assert done.returncode in (0, 1)
    salvaged = (tmp_path / "salvaged.jsonl").read_text().count('"MovieCreated"')
    assert 0 < salvaged <= 40
    assert total - 25 <= (tmp_path / "salvaged.jsonl").read_text().count("\n") - 2
    imported = run(tmp_path / "new", "import", "--events", tmp_path / "salvaged.jsonl")
    assert imported.returncode == 0, imported.stderr
