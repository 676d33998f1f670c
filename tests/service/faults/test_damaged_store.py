"""A damaged store in a running service: writes are refused, what can be read is served."""

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
from tests.damaged import INDEX, PAGE, TABLE, cut, junk_page, leaves
from tests.running import Cinelog, eventually, problem, run

MOVIES = 400


def serving(data_dir, **settings):
    """Serve; tokens stay valid from one run to the next."""
    return Cinelog(data_dir, issuer="https://cinelog.example", **settings)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The data directory of a service that has ended, with some movies."""
    folder = tmp_path_factory.mktemp("kept")
    rows = folder / "movies.csv"
    lines = (f"Movie {number},Drama,{1900 + number % 100}\n" for number in range(MOVIES))
    rows.write_text("title,genre,year\n" + "".join(lines))
    with serving(folder / "var") as service:
        token = service.account("ann").pair["access"]
        done = run(folder / "var", "import", rows, "--as", "ann")
        assert done.returncode == 0, done.stderr
        listed = service.client(token)
        eventually(lambda: listed.get("/movies/").json()["count"] == MOVIES)
    return folder / "var", token


@pytest.fixture
def token(kept):
    """An access token for ann, from before the damage."""
    return kept[1]


@pytest.fixture
def var(kept, tmp_path):
    return shutil.copytree(kept[0], tmp_path / "var")


def middle(numbers):
    return numbers[len(numbers) // 2]


def store_in(service):
    return httpx.get(f"{service.url}/readyz").json()["event_store"]


DAMAGES = {
    "half of the last page is gone": lambda path: cut(path, PAGE // 2),
    "junk in the middle": lambda path: junk_page(path, middle(leaves(path, TABLE))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_served_to_be_read(var, token, damage):
    DAMAGES[damage](var / "events.db")
    with serving(var) as service:
        client = service.client(token)
        created = client.post("/movies/", json={"title": "A", "genre": "B", "year": 2000})
        said = problem(created, 503, "unavailable")
        assert "damaged" in said["detail"]
        assert int(created.headers["Retry-After"]) > 0
        listed = client.get("/movies/")
        assert (listed.status_code, listed.json()["count"]) == (200, MOVIES)
        first = client.get("/movies/?ordering=created_at").json()["results"][0]
        assert client.get(f"/movies/{first['id']}/").status_code == 200
        assert client.get(f"/movies/{first['id']}/history/").status_code == 200
        assert httpx.get(f"{service.url}/readyz").status_code == 503
        assert store_in(service)["state"] == "damaged"
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


def test_damage_under_a_running_service_is_told_by_whoever_reads_it(var, token):
    """A command finds it; both workers take no more writes, and the probe is red."""
    page = middle(leaves(var / "events.db", TABLE))
    with serving(var, workers=2) as service:
        assert store_in(service)["state"] == "ok"
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
        eventually(lambda: store_in(service)["state"] == "damaged")


def test_a_rebuild_keeps_what_the_log_has_lost(var, token):
    """Also where the file is whole, as after rows were deleted by hand."""
    with serving(var) as service:
        with sqlite3.connect(var / "events.db") as connection:
            connection.execute("DELETE FROM stored_events WHERE rowid BETWEEN 100 AND 107")
        connection.close()
        done = run(var, "rebuild")
        assert done.returncode == 1
        assert "fewer" not in done.stdout
        assert "built from" in done.stderr
        assert service.client(token).get("/movies/").json()["count"] == MOVIES


def test_after_a_wipe_nothing_is_built_from_a_part_of_the_log(var, token):
    """Lists answer 503 rather than show fewer movies."""
    cut(var / "events.db", PAGE // 2)
    shutil.rmtree(var / "redis.aof")
    with serving(var) as service:
        eventually(lambda: "projection waits" in service.output())
        problem(service.client(token).get("/movies/"), 503, "unavailable")


def test_the_version_of_the_database_is_told(kept):
    done = run(kept[0], "status", "--json")
    assert json.loads(done.stdout)["event_store"]["version"].startswith("SQLite 3.")


def test_flipped_bytes_in_the_index_are_found(var):
    """Nothing differs between log and read model, and still verify says no."""
    page = middle(leaves(var / "events.db", INDEX))
    junk_page(var / "events.db", page, 100)
    done = run(var, "verify")
    assert done.returncode == 1
    assert "event store: " in done.stderr
    assert done.stdout.isprintable() or "\x1b" not in done.stdout


def test_damage_that_nobody_reads_is_found(var):
    """A running projection checks all pages again and again; a whole store stays as it is."""
    path = var / "events.db"
    page = middle(leaves(path, INDEX))
    with closing(Store.open(f"sqlite:///{path}", create=False)) as store:
        with IntegrityChecker(store, delay_s=0.0, interval_s=0.01):
            time.sleep(0.2)
            assert store.damage.reason is None
            junk_page(path, page, 100)
            eventually(lambda: store.damage.reason)
        assert "SQLite" in store.database_version


def test_half_of_the_last_page(tmp_path):
    """Nothing is built from what is left; a salvage reads around the page."""
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
    kept = (tmp_path / "salvaged.jsonl").read_text().count('"MovieCreated"')
    assert 0 < kept <= 40
    assert total - 25 <= (tmp_path / "salvaged.jsonl").read_text().count("\n") - 2
    imported = run(tmp_path / "new", "import", "--events", tmp_path / "salvaged.jsonl")
    assert imported.returncode == 0, imported.stderr
