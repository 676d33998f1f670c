"""A start compares the event store with the log that it served before."""

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
    """Start the service and return its one-line error."""
    done = run(data_dir, "serve", "--port", "0", **settings)
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), done.stderr
    assert "--accept-log" in lines[0]
    return lines[0]


def add(client, count):
    return [client.post("/movies/", json=ALIEN | {"title": f"{n}"}) for n in range(count)]


def position_of(answer):
    return answer.headers["event-log"], int(answer.headers["event-position"])


def sign_in(cinelog, username="ann"):
    body = {"username": username, "password": PASSWORD}
    return cinelog.client(cinelog.client().post("/auth/token/", json=body).json()["access"])


def back_up(store, path):
    """Copy a store in use, like an operator's backup."""
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


def remove(store):
    for name in (store.name, f"{store.name}-wal", f"{store.name}-shm"):
        store.with_name(name).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def served_once(tmp_path_factory):
    """A served data directory, an older copy of its store, and an older export."""
    folder = tmp_path_factory.mktemp("lived")
    data = folder / "var"
    with Cinelog(data) as cinelog:
        ann = cinelog.account("ann")
        log, shared = position_of(add(ann, 3)[-1])
        back_up(data / STORE, folder / "older.db")
        done = run(data, "export", "--events", folder / "older.jsonl")
        assert done.returncode == 0, done.stderr
        bob = cinelog.account("bob")
        _, head = position_of(add(bob, 5)[-1])
        tag = ann.get("/movies/").headers["etag"]
        served = {"log": log, "shared": shared, "head": head, "tag": tag, "bob": bob.pair["access"]}
    return folder, served


@pytest.fixture
def served(served_once, tmp_path):
    """A copy of the served data directory for one test."""
    folder, served = served_once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "var", served


def check_followers(cinelog, served):
    """Positions, tags and tokens from before are refused, and followers learn the shared position."""
    ann = sign_in(cinelog)
    listed = ann.get("/movies/", headers={"If-None-Match": served["tag"]})
    assert listed.status_code == 200
    assert listed.json()["count"] == 3
    log, head = position_of(listed)
    assert log.partition(".")[0] == served["log"].partition(".")[0]
    assert log != served["log"]
    for headers in ({}, {"Event-Log": served["log"]}):
        answer = ann.get("/events/", params={"after": served["head"]}, headers=headers)
        body = problem(answer, 409, "position_unknown")
        assert (body["log"], body["shared"]) == (log, served["shared"])
    known = {"Event-Log": served["log"]}
    continued = ann.get("/events/", params={"after": served["shared"]}, headers=known)
    assert (continued.status_code, continued.json()["results"]) == (200, [])
    bob = cinelog.client(served["bob"])
    problem(bob.post("/movies/", json=ALIEN), 401, "token_not_valid")
    problem(bob.get("/movies/"), 401, "token_not_valid")
    again = add(ann, served["head"] - head + 1)
    assert position_of(again[-1]) == (log, served["head"] + 1)
    # The log has reached that position, but in another epoch.
    answer = ann.get("/events/", params={"after": served["head"]}, headers=known)
    assert problem(answer, 409, "position_unknown")["shared"] == served["shared"]


def test_an_older_store_is_refused_until_accepted(served, tmp_path):
    data, served = served
    shutil.copy(tmp_path / "older.db", data / STORE)
    log, head, shared = served["log"], served["head"], served["shared"]
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
        check_followers(cinelog, served)
    open_served(Settings(data_dir=data)).close()  # later starts accept it


@pytest.mark.parametrize("state", ["deleted", "empty"])
def test_a_missing_store_is_refused(served, state):
    """No new store is created beside the remaining files."""
    data, served = served
    store = data / STORE
    remove(store)
    if state == "empty":
        store.touch()
    assert f"up to position {served['head']}, found nothing" in refused(data)
    assert store.exists() is (state == "empty")
    with pytest.raises(LogMismatchError):
        add_sample(Settings(data_dir=data))
    assert store.exists() is (state == "empty")


def test_an_imported_backup_is_accepted(served, tmp_path):
    """An import needs no confirmation, and followers learn of it."""
    data, served = served
    remove(data / STORE)
    done = run(data, "import", "--events", tmp_path / "older.jsonl")
    assert done.returncode == 0, done.stderr
    with Cinelog(data) as cinelog:
        check_followers(cinelog, served)


def test_an_import_begins_a_new_epoch(served, tmp_path):
    """The next export, in format 2, contains the new epoch of the same log."""
    _, served = served
    other, file = tmp_path / "other", tmp_path / "other.jsonl"
    for words in (("import", "--events", tmp_path / "older.jsonl"), ("export", "--events", file)):
        done = run(other, *words)
        assert done.returncode == 0, done.stderr
    first = json.loads(file.read_text().partition("\n")[0])
    assert f"{first['log']}.1" == served["log"]
    assert [epoch[1:] for epoch in first["epochs"]] == [[None, 0], [1, served["shared"]]]
    assert run(other, "status", "--json").returncode == 0


def test_an_unreadable_log_record_is_refused(served):
    data, _ = served
    (data / "log.json").write_bytes(b"")
    assert "log.json" in refused(data)
    open_served(Settings(data_dir=data), accept="any log").close()
    open_served(Settings(data_dir=data)).close()


def test_a_data_directory_of_an_earlier_release_gets_a_log_identity(served):
    """It has no record of a log, and its log has no identity."""
    data, served = served
    (data / "log.json").unlink()
    with closing(sqlite3.connect(data / STORE)) as store:
        store.execute("DROP TABLE cinelog_epochs")
    for command in ("verify", "status"):
        done = run(data, command)
        assert done.returncode == 0, done.stdout + done.stderr
    with Cinelog(data) as cinelog:
        log, head = position_of(sign_in(cinelog).get("/movies/"))
        assert log.endswith(".1")
        assert log != served["log"]
        assert head > served["head"]
        remembered = json.loads((data / "log.json").read_text())
        assert remembered["log"] == log.partition(".")[0]
        assert (data / "log.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def own_redis_url():
    with running_redis() as (_, url):
        yield url


def test_postgresql_that_lost_events_is_refused(postgres, own_redis_url, tmp_path):
    """A new machine compares with Redis; an accepted start begins a new epoch."""
    url = postgres()
    parts = {"event_store_url": url, "redis_url": own_redis_url}
    with Cinelog(tmp_path / "one", **parts) as cinelog:
        ann = cinelog.account("ann")
        log, shared = position_of(add(ann, 2)[-1])
        _, head = position_of(add(ann, 4)[-1])
    with psycopg.connect(url) as store:
        store.execute("DELETE FROM cinelog_events WHERE notification_id > %s", (shared,))
    line = refused(tmp_path / "two", **parts)
    assert f"expected {log} up to position {head}, found {log} that ends at {shared}" in line
    with Cinelog(tmp_path / "two", "--accept-log", **parts) as cinelog:
        listed = sign_in(cinelog).get("/movies/")
        assert listed.json()["count"] == 2
        assert position_of(listed)[0] != log
    # The first machine's record names an earlier epoch of the log.
    open_served(Settings(data_dir=tmp_path / "one", **parts)).close()
