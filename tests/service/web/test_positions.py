"""Positions belong to a log and an epoch; others are refused with the data needed to resume."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.controls import ALIEN
from tests.running import Cinelog, eventually, problem

OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@pytest.fixture(scope="module")
def movie(ann):
    return ann.post("/movies/", json=ALIEN).json()


@pytest.fixture
def ways(movie):
    """Every way to send a position."""
    one = f"/movies/{movie['id']}/"
    return [
        *((path, "header", "Min-Event-Position") for path in ("/movies/", one, "/events/")),
        (f"{one}history/", "header", "Min-Event-Position"),
        (f"{one}?version=1", "header", "Min-Event-Position"),
        ("/movies/?at=2020-01-01T00:00:00Z", "header", "Min-Event-Position"),
        ("/movies/", "query", "at_position"),
        ("/events/", "query", "after"),
        ("/events/stream", "query", "after"),
        ("/events/stream", "header", "Last-Event-ID"),
    ]


def send(client, way, position, log=None):
    """Send a position; do not read the body of a stream."""
    path, place, name = way
    headers = {"Event-Log": log} if log else {}
    if place == "header":
        headers[name] = str(position)
    else:
        path = f"{path}?{name}={position}"
    with client.stream("GET", path, headers=headers) as answer:
        if answer.headers["content-type"].startswith("text/event-stream"):
            return answer
        answer.read()
        return answer


def log_and_position(answer):
    return answer.headers["event-log"], int(answer.headers["event-position"])


def test_positions_are_sent_with_their_log(ann, service, movie, ways):
    log, head = log_and_position(ann.get("/movies/"))
    assert log.endswith(".1")
    for way in ways:
        assert send(ann, way, 1).headers["event-log"] == log, way
    written = ann.patch(f"/movies/{movie['id']}/", json={"year": 1980})
    assert log_and_position(written) == (log, head + 1)
    dry = ann.post(f"/movies/{movie['id']}/revert/?dry_run=true", json={"version": 1})
    assert dry.headers["event-log"] == log
    with service.client() as anyone:
        assert anyone.get(f"{service.url}/readyz").json()["event_store"]["log"] == log
    assert service.status()["event_store"]["log"] == log


def test_a_position_beyond_the_log_is_refused(ann, ways):
    """This holds with and without an Event-Log header."""
    log, head = log_and_position(ann.get("/movies/"))
    for way in ways:
        for sent in (None, log):
            refusal = problem(send(ann, way, head + 50_000, sent), 409, "position_unknown")
            assert refusal["log"] == log
            assert refusal["head"] == refusal["shared"] >= head
    for beyond in (2**53, 2**63 - 1):
        for way in ways:
            assert send(ann, way, beyond).status_code in (400, 409), way


def test_positions_of_this_log_are_accepted(ann, ways):
    log, head = log_and_position(ann.get("/movies/"))
    for way in ways:
        for position in (0, 1, head):
            assert send(ann, way, position, log).status_code == 200, (way, position)


def test_positions_of_another_log_are_refused(ann, ways):
    """Another log shares no position; another epoch shares position 0."""
    log, _ = log_and_position(ann.get("/movies/"))
    for way in ways:
        refusal = problem(send(ann, way, 1, f"{OTHER}.1"), 409, "position_unknown")
        assert (refusal["log"], refusal["shared"]) == (log, None), way
        unknown = log.partition(".")[0] + ".77"
        assert problem(send(ann, way, 1, unknown), 409, "position_unknown")["shared"] == 0


def test_a_log_without_a_position_is_ignored(ann, movie):
    other = {"Event-Log": f"{OTHER}.1"}
    for path in ("/movies/", f"/movies/{movie['id']}/", "/events/", "/auth/me/"):
        assert ann.get(path, headers=other).status_code == 200
    assert ann.post("/movies/", json=ALIEN, headers=other).status_code == 201


@pytest.mark.parametrize("log", ["x", "1", OTHER, f"{OTHER}.x", f"{OTHER}.01"])
def test_invalid_logs_are_refused(ann, log):
    answer = ann.get("/events/", headers={"Event-Log": log, "Min-Event-Position": "x"})
    assert set(problem(answer, 400, "invalid")["errors"]) == {"Event-Log", "Min-Event-Position"}
    answer = ann.get("/events/stream", headers={"Event-Log": log})
    assert set(problem(answer, 400, "invalid")["errors"]) == {"Event-Log"}


def test_list_tags_contain_the_log(ann, movie):
    shown = ann.get("/movies/")
    tag = shown.headers["etag"]
    assert shown.headers["event-log"] in tag
    assert ann.get("/movies/", headers={"If-None-Match": tag}).status_code == 304
    position = shown.headers["event-position"]
    for other in (f'W/"p{position}"', f'W/"p{position}@{OTHER}.1"'):
        assert ann.get("/movies/", headers={"If-None-Match": other}).status_code == 200


def test_a_truncated_log_starts_a_new_epoch(tmp_path):
    """Streams, caches and followers get the new epoch; lost accounts are signed out."""
    with Cinelog(tmp_path / "var", workers=2) as cinelog:
        ann = cinelog.account("ann")
        first = ann.post("/movies/", json=ALIEN)
        log, shared = log_and_position(first)
        bob = cinelog.account("bob")
        lost = [bob.post("/movies/", json=ALIEN | {"title": f"Lost {n}"}) for n in range(5)]
        _, head = log_and_position(lost[-1])
        tag = ann.get("/movies/").headers["etag"]
        follower = cinelog.client(ann.pair["access"])
        with follower.stream("GET", f"/events/stream?after={shared}", timeout=15) as stream:
            lines = stream.iter_lines()
            assert any("Lost 4" in line for line in lines)
            with closing(sqlite3.connect(tmp_path / "var" / "events.db", timeout=10)) as store:
                store.execute("DELETE FROM stored_events WHERE rowid > ?", (shared,))
                store.commit()
            rest = list(lines)
        reset = json.loads(rest[rest.index("event: log") + 1].removeprefix("data: "))
        assert reset["shared"] == shared
        assert reset["log"] != log
        assert reset["log"].partition(".")[0] == log.partition(".")[0]
        listed = eventually(
            lambda: (
                (answer := ann.get("/movies/", headers={"If-None-Match": tag})).status_code == 200
                and answer.headers["event-log"] == reset["log"]
                and answer
            )
        )
        assert (listed.json()["count"], log_and_position(listed)) == (1, (reset["log"], shared))
        refusal = problem(
            send(ann, ("/events/", "query", "after"), head, log), 409, "position_unknown"
        )
        assert refusal["shared"] == shared
        assert send(ann, ("/events/", "query", "after"), shared, log).status_code == 200
        problem(bob.post("/movies/", json=ALIEN), 401, "token_not_valid")
        again = ann.post("/movies/", json=ALIEN)
        assert log_and_position(again) == (reset["log"], shared + 1)
        assert cinelog.status()["event_store"]["log"] == reset["log"]
    assert "the log was set back" in cinelog.output()
    assert "Traceback" not in cinelog.output()
