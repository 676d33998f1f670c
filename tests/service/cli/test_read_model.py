"""The read model of a running service: rebuild, verify, repair, parked movies and lost data."""

import itertools
import json
import sqlite3
import threading
import uuid
from contextlib import closing, contextmanager, suppress
from functools import partial

import httpx
import pytest

from commands.event_store.store import Store
from projections.keys import REBUILDING, Keys
from projections.rebuild.rebuild import rebuild
from tests.library import corrupt_event, library, repair_event
from tests.projections.faulty import DiedError, Dying
from tests.running import Cinelog, eventually, problem, run

_titles = itertools.count(1)


@pytest.fixture(scope="module")
def cinelog(tmp_path_factory):
    """A service with two workers and a log of many kinds of events."""
    data_dir = tmp_path_factory.mktemp("views") / "var"
    data_dir.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    books = library(store)
    store.close()
    with Cinelog(data_dir, workers=2, write_wait_ms=5000) as cinelog:
        cinelog.books = books
        cinelog.events = data_dir / "events.db"
        cinelog.eve = cinelog.account("eve")
        yield cinelog
    assert "Traceback" not in cinelog.output()


def generation(cinelog):
    return int(cinelog.redis().get("movies:live"))


def key(cinelog, name):
    return Keys(generation(cinelog)).named(name)


@contextmanager
def load(cinelog):
    """List and create movies continuously; yield all responses."""
    stop, answers = threading.Event(), []
    token = cinelog.eve.headers["Authorization"]

    def send_repeatedly(send):
        with httpx.Client(
            base_url=f"{cinelog.url}/api/v1", headers={"Authorization": token}, timeout=10
        ) as client:
            while not stop.is_set():
                answers.append(send(client))

    def write(client):
        movie = {"title": f"Load {next(_titles)}", "genre": "Drama", "year": 2000}
        return client.post("/movies/", json=movie)

    def read(client):
        return client.get("/movies/", params={"title": "alien", "page_size": 100})

    threads = [
        threading.Thread(target=send_repeatedly, args=(send,)) for send in (write, read, read)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def lists(answers):
    return [answer for answer in answers if answer.request.method == "GET"]


def writes(answers):
    return [answer for answer in answers if answer.request.method == "POST"]


def test_a_rebuild_does_not_disturb_the_service(cinelog):
    """Reads and writes succeed, and the new generation has no differences."""
    before = generation(cinelog)
    with load(cinelog) as answers:
        done = run(cinelog.data_dir, "rebuild", "--parallel", 2, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["generation"] == generation(cinelog) > before
    assert report["differing"] == {}
    assert report["compared"] > 20
    assert {answer.status_code for answer in lists(answers)} == {200}
    assert {answer.json()["count"] for answer in lists(answers)} == {4}
    assert {answer.status_code for answer in writes(answers)} == {201}
    assert not any("Read-Model" in answer.headers for answer in answers)
    assert eventually(lambda: ready(cinelog)["projection"]["lag_events"] == 0)


def ready(cinelog):
    return httpx.get(f"{cinelog.url}/readyz").json()


def test_an_interrupted_rebuild_changes_nothing(cinelog):
    """The process dies at any call to Redis; the next rebuild removes the remains."""
    live, redis = generation(cinelog), cinelog.redis()
    store = Store.open(f"sqlite:///{cinelog.events}", create=False)
    for call in itertools.count(1, 7):
        failing = Dying(redis, call, after=call % 2 == 0)
        with suppress(DiedError):
            rebuild(store, failing)
        assert generation(cinelog) >= live
        assert cinelog.eve.get("/movies/", params={"title": "alien"}).json()["count"] == 4
        redis.delete(REBUILDING)  # the lease of a dead process expires
        if not failing.died:
            break
    assert call > 30
    store.close()
    done = run(cinelog.data_dir, "rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no differences" in done.stdout
    redis = cinelog.redis()
    assert redis.smembers("movies:generations") == {b"%d" % generation(cinelog)}
    tagged = {name.split(b":")[1].rstrip(b"}") for name in redis.scan_iter("{movies:*}:head")}
    assert {int(number) for number in tagged if int(number) > 0} == {generation(cinelog)}


def test_verify_reports_differences_and_repair_corrects_them(cinelog):
    """Both exit with 1 and print the differences while the service runs."""
    movie = str(cinelog.books.ids[3])
    with load(cinelog):
        row = cinelog.redis().hget(key(cinelog, "rows"), movie)
        cinelog.redis().hset(key(cinelog, "rows"), movie, "x")
        found = run(cinelog.data_dir, "verify", "--json")
        repaired = run(cinelog.data_dir, "verify", "--repair")
    assert found.returncode == 1
    (difference,) = json.loads(found.stdout)["differences"]
    assert difference["wanted"].startswith('{"id":"')
    assert difference | {"wanted": ""} == {
        "key": "rows",
        "field": movie,
        "wanted": "",
        "shown": "x",
    }
    assert repaired.returncode == 1
    assert f"rows {movie}: x, should be {{" in repaired.stdout
    assert cinelog.redis().hget(key(cinelog, "rows"), movie) == row


def test_parked_movies_are_reported_dropped_and_retried(cinelog):
    """Status, /readyz and metrics count them; a retry applies even a dropped movie."""
    movie = cinelog.books.changed
    corrupt_event(cinelog.events, movie, version=2)
    rebuilt = run(cinelog.data_dir, "rebuild")
    assert rebuilt.returncode == 1
    assert f"rows {movie}" in rebuilt.stdout
    assert eventually(lambda: ready(cinelog)["read_model"]["parked"] == 1)
    assert "cinelog_parked_movies 1.0" in httpx.get(f"{cinelog.url}/metrics").text
    (report,) = json.loads(run(cinelog.data_dir, "parked", "list", "--json").stdout)
    assert (report["id"], report["type"], report["dropped"]) == (movie, "MovieUpdated", False)
    refused = run(cinelog.data_dir, "parked", "retry", movie)
    assert (refused.returncode, "1 still parked" in refused.stdout) == (1, True)
    dropped = run(cinelog.data_dir, "parked", "drop", movie, "--json")
    assert json.loads(dropped.stdout) == {"dropped": [movie]}
    state = cinelog.status()["read_model"]
    assert (state["parked"], state["dropped"]) == (0, 1)
    assert cinelog.eve.get(f"/movies/{movie}/").status_code == 404
    repair_event(cinelog.events, movie, version=2)
    retried = run(cinelog.data_dir, "parked", "retry", "--json")
    assert json.loads(retried.stdout) == {"applied": [movie], "refused": {}}
    assert cinelog.eve.get(f"/movies/{movie}/").json()["title"] == "Élan"


def _any_list_succeeded(answers, since):
    return any(answer.is_success for answer in lists(answers[since:]))


def test_a_wiped_redis_is_rebuilt_under_load(cinelog):
    """Lists are complete or refused, and every write succeeds."""
    with load(cinelog) as answers:
        for _ in range(3):
            cinelog.redis().flushall()
            eventually(lambda: cinelog.redis().get("movies:live"))
            since = len(answers)
            eventually(partial(_any_list_succeeded, answers, since))
    refused = [answer for answer in lists(answers) if not answer.is_success]
    for answer in refused:
        problem(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
    assert {answer.json()["count"] for answer in lists(answers) if answer.is_success} == {4}
    assert {answer.status_code for answer in writes(answers)} == {201}
    titles = {answer.json()["title"] for answer in writes(answers)}
    assert eventually(lambda: ready(cinelog)["projection"]["lag_events"] == 0)
    page = cinelog.eve.get("/movies/", params={"creator__username": "eve", "page_size": 1})
    assert page.json()["count"] >= len(titles)
    assert run(cinelog.data_dir, "verify").returncode == 0


@pytest.mark.parametrize("name", ["rows", "users", "head"])
def test_a_lost_key_is_restored(cinelog, name):
    """Lists are complete or refused, and single movies are read from the log."""
    movie = cinelog.books.changed
    cinelog.redis().delete(key(cinelog, name))
    one, all_ = cinelog.eve.get(f"/movies/{movie}/"), cinelog.eve.get("/movies/?title=alien")
    assert one.json()["title"] == "Élan"
    assert all_.status_code == 503 or all_.json()["count"] == 4
    eventually(lambda: cinelog.eve.get("/movies/").is_success)
    assert cinelog.eve.get("/movies/?title=alien").json()["count"] == 4


DAMAGE = (
    ("SET", "{movies:%d}:rows", "x"),
    ("SET", "{movies:%d}:head", "x"),
    ("HSET", "{movies:%d}:head", "position", "abc"),
    ("HDEL", "{movies:%d}:head", "mends"),
    ("HSET", "{movies:%d}:head", "hold", 9999999999999),
    ("SET", "movies:live", "x"),
)


def test_a_damaged_read_model_is_rebuilt(tmp_path):
    """Lists are complete or refused meanwhile, and writes succeed."""
    with Cinelog(tmp_path / "var") as cinelog:
        ann = cinelog.account("ann")
        for number, (command, name, *args) in enumerate(DAMAGE):
            damaged = name.replace("%d", str(generation(cinelog)))
            cinelog.redis().execute_command(command, damaged, *args)
            for _ in range(20):
                answer = ann.get("/movies/")
                if answer.is_success:
                    assert answer.json()["count"] == number
                else:
                    problem(answer, 503, "unavailable")
                    assert answer.headers["Retry-After"]
            assert ready(cinelog)["read_model"]
            movie = {"title": f"Alien {number}", "genre": "Horror", "year": 1979}
            assert ann.post("/movies/", json=movie).status_code == 201
            assert eventually(lambda: ready(cinelog)["projection"].get("lag_events") == 0)
            assert ann.get("/movies/").json()["count"] == number + 1
        assert run(cinelog.data_dir, "verify").returncode == 0
    assert "Traceback" not in cinelog.output()


def test_rebuild_and_verify_run_without_a_service(tmp_path):
    """The embedded Redis runs only as long as the command."""
    data_dir = tmp_path / "var"
    data_dir.mkdir(mode=0o700)
    Store.open(f"sqlite:///{data_dir}/events.db").close()
    built = run(data_dir, "rebuild", "--json")
    assert json.loads(built.stdout)["generation"] == 1
    assert run(data_dir, "verify").returncode == 0
    absent = run(data_dir, "verify", redis_url="unix:///nowhere/redis.sock")
    assert absent.returncode == 2
    assert absent.stderr.strip().startswith("cinelog: The read model is unavailable")
    assert "Traceback" not in absent.stderr


def append(cinelog, movie, state):
    """Append a second event of a movie with the given bytes."""
    with closing(sqlite3.connect(cinelog.data_dir / "events.db")) as log, log:
        log.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " VALUES (?, 2, 'MovieUpdated', ?)",
            [movie.replace("-", ""), state],
        )


def test_a_change_of_a_parked_movie_is_reported_as_behind(tmp_path):
    """Lists omit its events at every position."""
    with Cinelog(tmp_path / "var", workers=1) as cinelog:
        ann = cinelog.account("ann")
        fields = {"title": "Alien", "genre": "Horror", "year": 1979}
        urls = [ann.post("/movies/", json=fields).headers["Location"] for _ in range(2)]
        event = {"by": ann.account["id"], "timestamp": "2026-01-02T12:00:00.000000Z"}
        event |= {"request_id": "x", "year": "1980", "class_version": 2}
        append(cinelog, urls[0].split("/")[-2], json.dumps(event).encode())
        for _ in range(2):  # before and after the projection parks it
            parked, shown = (ann.patch(url, json={"genre": uuid.uuid4().hex}) for url in urls)
            assert (parked.status_code, parked.headers["Read-Model"]) == (200, "behind")
            assert (shown.status_code, "Read-Model" in shown.headers) == (200, False)
        assert ann.delete(urls[0]).headers["Read-Model"] == "behind"


def test_an_unreadable_event_affects_only_its_movie(tmp_path):
    """It keeps its last readable version and refuses changes; lists and the feed continue."""
    with Cinelog(tmp_path / "var") as cinelog:
        ann = cinelog.account("ann")
        fields = {"title": "Alien", "genre": "Horror", "year": 1979}
        url = ann.post("/movies/", json=fields).headers["Location"]
        movie = url.split("/")[-2]
        append(cinelog, movie, b'{"title": "Al')
        assert ann.post("/movies/", json=fields | {"title": "Brazil"}).status_code == 201
        assert eventually(lambda: ready(cinelog)["read_model"]["parked"] == 1)
        assert ann.get(url).json()["version"] == 1
        assert ann.get("/movies/").json()["count"] == 2
        problem(ann.patch(url, json={"title": "Aliens"}), 500, "event_unreadable")
        problem(ann.get(url, params={"version": 2}), 500, "event_unreadable")
        assert ann.get(url, params={"version": 1}).json()["title"] == "Alien"
        created, unreadable = ann.get(f"{url}history/").json()["results"]
        assert created["at"]
        assert unreadable == {
            "id": created["id"] + 1,
            "version": 2,
            "position": created["position"] + 1,
            "type": "MovieUpdated",
            "at": None,
            "actor": {"id": None, "username": None},
            "changes": {},
            "request_id": None,
            "reason": None,
        }
        feed = ann.get("/events/").json()["results"]
        assert [entry["version"] for entry in feed] == [1, 2, 1]
        report = run(cinelog.data_dir, "history", movie)
        assert (report.returncode, report.stderr) == (0, "")
        exported = run(cinelog.data_dir, "export", str(tmp_path / "movies.jsonl"))
        assert exported.returncode == 0
        titles = [
            json.loads(line)["title"]
            for line in (tmp_path / "movies.jsonl").read_text().splitlines()
        ]
        assert titles == ["Alien", "Brazil"]
    assert "Traceback" not in cinelog.output()
