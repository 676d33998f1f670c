"""A start compares the event store with the log that was served before, whatever happened to it."""

import json
import shutil
import sqlite3
from contextlib import closing

import psycopg
import pytest

from commands.errors import LogMismatchError
from service.known_log import open_served
from service.settings import Settings
from service.transfer.sample import add_sample
from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog, problem, run
from tests.service.auth.auth_controls import running_redis

STORE = "events.db"


def refused(data_dir, **settings):
    """Start it, and return the one line that it ends with."""
    done = run(data_dir, "serve", "--port", "0", **settings)
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), done.stderr
    assert "--accept-log" in lines[0]
    return lines[0]


def add(client, count):
    return [client.post("/movies/", json=ALIEN | {"title": f"{n}"}) for n in range(count)]


def place_of(answer):
    return answer.headers["event-log"], int(answer.headers["event-position"])


def sign_in(cinelog, username="ann"):
    body = {"username": username, "password": PASSWORD}
    return cinelog.client(cinelog.client().post("/auth/token/", json=body).json()["access"])


def saved(store, path):
    """Copy a store in use, as an operator's backup does."""
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


def remove(store):
    for name in (store.name, f"{store.name}-wal", f"{store.name}-shm"):
        store.with_name(name).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A data directory that was served, an older copy of its store and an older export."""
    folder = tmp_path_factory.mktemp("lived")
    data = folder / "var"
    with Cinelog(data) as cinelog:
        ann = cinelog.account("ann")
        log, shared = place_of(add(ann, 3)[-1])
        saved(data / STORE, folder / "older.db")
        done = run(data, "export", "--events", folder / "older.jsonl")
        assert done.returncode == 0, done.stderr
        bob = cinelog.account("bob")
        _, head = place_of(add(bob, 5)[-1])
        tag = ann.get("/movies/").headers["etag"]
        lived = {"log": log, "shared": shared, "head": head, "tag": tag, "bob": bob.pair["access"]}
    return folder, lived


@pytest.fixture
def lived(once, tmp_path):
    """The same, to be changed by one test."""
    folder, lived = once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "var", lived


def check_followers(cinelog, lived):
    """Whatever was known before is told, and nothing of it is believed."""
    ann = sign_in(cinelog)
    listed = ann.get("/movies/", headers={"If-None-Match": lived["tag"]})
    assert listed.status_code == 200
    assert listed.json()["count"] == 3
    log, head = place_of(listed)
    assert log.partition(".")[0] == lived["log"].partition(".")[0]
    assert log != lived["log"]
    for headers in ({}, {"Event-Log": lived["log"]}):
        answer = ann.get("/events/", params={"after": lived["head"]}, headers=headers)
        said = problem(answer, 409, "position_unknown")
        assert (said["log"], said["shared"]) == (log, lived["shared"])
    known = {"Event-Log": lived["log"]}
    on = ann.get("/events/", params={"after": lived["shared"]}, headers=known)
    assert (on.status_code, on.json()["results"]) == (200, [])
    bob = cinelog.client(lived["bob"])
    problem(bob.post("/movies/", json=ALIEN), 401, "token_not_valid")
    problem(bob.get("/movies/"), 401, "token_not_valid")
    again = add(ann, lived["head"] - head + 1)
    assert place_of(again[-1]) == (log, lived["head"] + 1)
    # Now the log has such a position, of another epoch.
    answer = ann.get("/events/", params={"after": lived["head"]}, headers=known)
    assert problem(answer, 409, "position_unknown")["shared"] == lived["shared"]


def test_an_older_state_is_refused_and_can_be_accepted(lived, tmp_path):
    data, lived = lived
    shutil.copy(tmp_path / "older.db", data / STORE)
    log, head, shared = lived["log"], lived["head"], lived["shared"]
    line = refused(data)
    assert f"expected {log} up to position {head}, found {log} that ends at {shared}" in line
    done = run(data, "project")
    assert done.returncode == 2
    assert json.loads(done.stderr)["event"] == json.loads(line)["event"]
    done = run(data, "rebuild")
    assert done.returncode == 2
    assert f"expected {log} up to position {head}" in done.stderr
    done = run(data, "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["event_store"]["state"] == "another log"
    with Cinelog(data, "--accept-log") as cinelog:
        check_followers(cinelog, lived)
    open_served(Settings(data_dir=data)).close()  # it is remembered now


@pytest.mark.parametrize("how", ["deleted", "empty"])
def test_a_store_that_is_gone(lived, how):
    """No new service beside what is left of the old one, and no file in the place of the store."""
    data, lived = lived
    store = data / STORE
    remove(store)
    if how == "empty":
        store.touch()
    assert f"up to position {lived['head']}, found nothing" in refused(data)
    assert store.exists() is (how == "empty")
    with pytest.raises(LogMismatchError):
        add_sample(Settings(data_dir=data))
    assert store.exists() is (how == "empty")


def test_a_backup_is_imported_in_its_place(lived, tmp_path):
    """The import is what the operator wants: nothing more is asked, and followers are told."""
    data, lived = lived
    remove(data / STORE)
    done = run(data, "import", "--events", tmp_path / "older.jsonl")
    assert done.returncode == 0, done.stderr
    with Cinelog(data) as cinelog:
        check_followers(cinelog, lived)


def test_what_an_import_makes_of_a_log(lived, tmp_path):
    """A new epoch of the same log; that is in the next export, which is of format 2."""
    _, lived = lived
    other, file = tmp_path / "other", tmp_path / "other.jsonl"
    for words in (("import", "--events", tmp_path / "older.jsonl"), ("export", "--events", file)):
        done = run(other, *words)
        assert done.returncode == 0, done.stderr
    first = json.loads(file.read_text().partition("\n")[0])
    assert f"{first['log']}.1" == lived["log"]
    assert [epoch[1:] for epoch in first["epochs"]] == [[None, 0], [1, lived["shared"]]]
    assert run(other, "status", "--json").returncode == 0


def test_what_cannot_be_read_is_no_first_start(lived):
    data, _ = lived
    (data / "log.json").write_bytes(b"")
    assert "log.json" in refused(data)
    open_served(Settings(data_dir=data), accept="any log").close()
    open_served(Settings(data_dir=data)).close()


def test_a_data_directory_of_an_earlier_release(lived):
    """It remembers nothing, and its log has no identity: it gets one, without a word."""
    data, lived = lived
    (data / "log.json").unlink()
    with closing(sqlite3.connect(data / STORE)) as store:
        store.execute("DROP TABLE cinelog_epochs")
    for command in ("verify", "status"):
        done = run(data, command)
        assert done.returncode == 0, done.stdout + done.stderr
    with Cinelog(data) as cinelog:
        log, head = place_of(sign_in(cinelog).get("/movies/"))
        assert log.endswith(".1")
        assert log != lived["log"]
        assert head > lived["head"]
        remembered = json.loads((data / "log.json").read_text())
        assert remembered["log"] == log.partition(".")[0]
        assert (data / "log.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def own_redis_url():
    with running_redis() as (_, url):
        yield url


def test_postgresql_that_lost_its_end(postgres, own_redis_url, tmp_path):
    """A new machine has nothing but Redis to remember by; one that runs goes on in a new epoch."""
    url = postgres()
    parts = {"event_store_url": url, "redis_url": own_redis_url}
    with Cinelog(tmp_path / "one", **parts) as cinelog:
        ann = cinelog.account("ann")
        log, shared = place_of(add(ann, 2)[-1])
        _, head = place_of(add(ann, 4)[-1])
    with psycopg.connect(url) as store:
        store.execute("DELETE FROM cinelog_events WHERE notification_id > %s", (shared,))
    line = refused(tmp_path / "two", **parts)
    assert f"expected {log} up to position {head}, found {log} that ends at {shared}" in line
    with Cinelog(tmp_path / "two", "--accept-log", **parts) as cinelog:
        listed = sign_in(cinelog).get("/movies/")
        assert listed.json()["count"] == 2
        assert place_of(listed)[0] != log
    # The first machine remembers an epoch that the log has left.
    open_served(Settings(data_dir=tmp_path / "one", **parts)).close()
