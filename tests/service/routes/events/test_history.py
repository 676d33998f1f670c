"""History, earlier versions, reverting and the feed of changes."""

import json
import re
import threading
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from commands.rfc3339 import rfc3339
from service.openapi.request_headers import CHANGE_REASON
from tests.running import eventually, problem

ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}


@pytest.fixture
def deleted_url(ann):
    """The URL of a movie that was created, changed twice and deleted."""
    movie = ann.post("/movies/", json=ALIEN, headers={"Change-Reason": "seen it"}).json()
    url = f"/movies/{movie['id']}/"
    ann.patch(url, json={"title": "Aliens", "year": 1986})
    ann.put(url, json={"title": "Aliens", "genre": "Action", "year": 1986})
    ann.delete(url, headers={"Change-Reason": "Übermut".encode()})
    return url


def test_history_entries(ann, bob, deleted_url):
    page = bob.get(f"{deleted_url}history/").json()
    assert (page["count"], page["next"], page["previous"]) == (4, None, None)
    created, changed, replaced, deleted = page["results"]
    assert created["changes"] == {
        "title": {"from": None, "to": "Alien"},
        "genre": {"from": None, "to": "Horror"},
        "year": {"from": None, "to": 1979},
    }
    assert changed["changes"] == {
        "title": {"from": "Alien", "to": "Aliens"},
        "year": {"from": 1979, "to": 1986},
    }
    assert replaced["changes"] == {"genre": {"from": "Horror", "to": "Action"}}
    assert deleted["changes"] == {}
    assert [entry["type"] for entry in page["results"]] == [
        "MovieCreated", "MovieUpdated", "MovieUpdated", "MovieDeleted",
    ]  # fmt: skip
    assert [entry["version"] for entry in page["results"]] == [1, 2, 3, 4]
    actor = {"id": ann.account["id"], "username": ann.account["username"]}
    assert all(entry["actor"] == actor for entry in page["results"])
    assert [entry["reason"] for entry in page["results"]] == ["seen it", None, None, "Übermut"]
    assert [e["position"] for e in page["results"]] == sorted(
        e["position"] for e in page["results"]
    )


def test_history_pages(ann, deleted_url):
    first = ann.get(f"{deleted_url}history/?page_size=3").json()
    second = ann.get(first["next"]).json()
    assert [entry["version"] for entry in first["results"] + second["results"]] == [1, 2, 3, 4]
    assert ann.get(second["previous"]).json() == first
    assert (
        ann.get(f"{deleted_url}history/?page=last&page_size=3").json()["results"]
        == second["results"]
    )
    problem(ann.get(f"{deleted_url}history/?page=9"), 404, "not_found")


def test_history_of_unknown_movie_is_404(ann):
    problem(ann.get(f"/movies/{uuid.uuid4()}/history/"), 404, "not_found")
    problem(ann.get(f"/movies/{ann.account['id']}/history/"), 404, "not_found")


@pytest.mark.parametrize(
    ("reason", "expected"), [("x" * 201, "no more than 200"), ("a\tb", "Not a valid")]
)
def test_an_invalid_reason_is_refused(ann, reason, expected):
    response = ann.post("/movies/", json=ALIEN, headers={"Change-Reason": reason})
    (message,) = problem(response, 400, "invalid")["errors"]["Change-Reason"]
    assert expected in message
    assert not is_described(reason)


def is_described(reason):
    """Return whether the API's description allows a reason."""
    schema = CHANGE_REASON.schema
    return len(reason) <= schema["maxLength"] and re.search(schema["pattern"], reason)


def test_a_reason_may_use_any_script(ann):
    """A reason may contain joiners and wide spaces."""
    reason = "Größe\u00a0M \U0001f468\u200d\U0001f469\u200d\U0001f467 می\u200cشود"
    movie = ann.post("/movies/", json=ALIEN, headers={"Change-Reason": reason.encode()}).json()
    (entry,) = ann.get(f"/movies/{movie['id']}/history/").json()["results"]
    assert entry["reason"] == reason
    assert is_described(reason)


def test_a_movie_at_a_version_or_time(ann, bob, deleted_url):
    times = [entry["at"] for entry in ann.get(f"{deleted_url}history/").json()["results"]]
    for version, expected in ((1, ALIEN), (2, ALIEN | {"title": "Aliens", "year": 1986})):
        by_number = bob.get(deleted_url, params={"version": version})
        by_time = bob.get(deleted_url, params={"at": times[version - 1]})
        assert by_number.json() == by_time.json()
        assert by_number.json()["updated_at"] == times[version - 1]
        assert by_number.json()["created_at"] == times[0]
        assert {name: by_number.json()[name] for name in ALIEN} == expected
        assert by_number.headers["etag"] == f'"{version}"'
    between = datetime.fromisoformat(times[1]) + timedelta(microseconds=1)
    local = between.astimezone().isoformat()
    assert bob.get(f"{deleted_url}?at={local}").json()["version"] == 2
    # An unencoded plus sign (read as a space), lower case, nanoseconds, white space.
    for written in (
        between.isoformat(),
        rfc3339(between).lower(),
        rfc3339(between).replace("Z", "999Z"),
        f" {rfc3339(between)} ",
    ):
        assert bob.get(f"{deleted_url}?at={written}").json()["version"] == 2


@pytest.mark.parametrize(
    "query",
    ["version=4", "version=5", "version=0", "at=2001-01-01T00:00:00Z", "at=2999-01-01T00:00:00Z"],
)
def test_a_missing_or_deleted_state_is_404(ann, deleted_url, query):
    problem(ann.get(f"{deleted_url}?{query}"), 404, "not_found")


@pytest.mark.parametrize("query", ["version=x", "version=-1", "at=soon"])
def test_invalid_version_or_time(ann, deleted_url, query):
    problem(ann.get(f"{deleted_url}?{query}"), 400, "invalid")


@pytest.mark.parametrize(
    "time",
    [
        "20261126100000Z",
        "1764123112345",
        "2026-11-26",
        "2026-11-26+02:00",
        "2026-11-26T10:00:00",
        "2026-11-26 10:00:00Z",
        "2026-11-26T10:00Z",
        "2026-11-26T10:00:00,5Z",
        "2026-W48-4T10:00:00Z",
        "2026-11-26T10:00:00+0200",
        "now",
    ],
)
def test_a_time_must_be_rfc_3339(ann, deleted_url, time):
    """Movies and lists refuse it."""
    for path in (deleted_url, "/movies/"):
        answer = ann.get(path, params={"at": time})
        errors = problem(answer, 400, "invalid")["errors"]
        assert errors == {"at": ["Enter a valid date/time."]}


@pytest.mark.parametrize(
    "time",
    ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-23:59"],
)
def test_times_at_the_ends_of_the_calendar(ann, time):
    assert ann.get("/movies/", params={"at": time}).status_code == 200


def test_reverting_restores_a_deleted_movie(ann, deleted_url):
    dry = ann.post(f"{deleted_url}revert/?dry_run=true", json={"version": 1})
    assert (dry.status_code, dry.json()["version"]) == (200, 5)
    assert {name: dry.json()[name] for name in ALIEN} == ALIEN
    problem(ann.get(deleted_url), 404, "not_found")
    back = ann.post(f"{deleted_url}revert/", json={"version": 1})
    assert back.status_code == 200
    assert ann.get(deleted_url).json() == back.json()
    assert back.json()["id"] in [
        row["id"] for row in ann.get("/movies/?page_size=100").json()["results"]
    ]
    entry = ann.get(f"{deleted_url}history/").json()["results"][-1]
    assert (entry["type"], entry["version"]) == ("MovieRestored", 5)
    assert entry["changes"] == {
        "title": {"from": "Aliens", "to": "Alien"},
        "genre": {"from": "Action", "to": "Horror"},
        "year": {"from": 1986, "to": 1979},
    }


def test_reverting_is_an_update(ann):
    movie = ann.post("/movies/", json=ALIEN).json()
    url = f"/movies/{movie['id']}/"
    ann.patch(url, json={"title": "Aliens"})
    assert ann.post(f"{url}revert/", json={"version": "1"}).json()["version"] == 3
    again = ann.post(f"{url}revert/", json={"version": 1})
    assert again.json()["version"] == 3  # no change, no event
    stale = ann.post(f"{url}revert/", json={"version": 1}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


def test_undoing_one_change_keeps_later_ones(ann):
    url = f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"
    ann.patch(url, json={"title": "Aliens"})
    ann.patch(url, json={"year": 1986})
    dry = ann.post(f"{url}undo/?dry_run=true", json={"version": 2})
    assert (dry.status_code, dry.json()["title"], dry.json()["version"]) == (200, "Alien", 4)
    assert ann.get(url).json()["version"] == 3
    once = {"Idempotency-Key": str(uuid.uuid4()), "Change-Reason": "the first one is meant"}
    undone = ann.post(f"{url}undo/", json={"version": 2}, headers=once)
    assert (undone.status_code, undone.headers["ETag"]) == (200, '"4"')
    assert {name: undone.json()[name] for name in ALIEN} == ALIEN | {"year": 1986}
    assert ann.get(url).json() == undone.json()
    again = ann.post(f"{url}undo/", json={"version": 2}, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert ann.post(f"{url}undo/", json={"version": 2}).json()["version"] == 4  # it is back already
    entry = ann.get(f"{url}history/").json()["results"][-1]
    assert entry["changes"] == {"title": {"from": "Aliens", "to": "Alien"}}
    assert entry["reason"] == "the first one is meant"


def test_an_undo_that_later_changes_stand_against(ann):
    url = f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"
    ann.patch(url, json={"title": "Aliens", "year": 1986})
    ann.patch(url, json={"title": "Aliens 2"})
    for query in ("", "?dry_run"):
        told = problem(ann.post(f"{url}undo/{query}", json={"version": 2}), 409, "undo_conflict")
        assert told["conflicts"] == {"title": {"version": 3, "now": "Aliens 2"}}
        assert told["detail"] == "Later changes stand against it: title."
    assert ann.get(url).json()["version"] == 3


def test_undoing_a_deletion(ann, bob):
    url = f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"
    ann.patch(url, json={"title": "Aliens"})
    ann.delete(url)
    problem(ann.post(f"{url}undo/", json={"version": 2}), 404, "not_found")
    problem(bob.post(f"{url}undo/", json={"version": 3}), 403, "permission_denied")
    stale = ann.post(f"{url}undo/", json={"version": 3}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    restored = ann.post(f"{url}undo/", json={"version": 3})
    assert (restored.json()["title"], restored.json()["version"]) == ("Aliens", 4)
    assert ann.get(url).json() == restored.json()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "This field is required."),
        ({"version": 1}, "The creation of a movie cannot be undone."),
        ({"version": 9}, "The movie has no such version."),
    ],
)
def test_versions_that_cannot_be_undone(ann, deleted_url, body, expected):
    errors = problem(ann.post(f"{deleted_url}undo/", json=body), 400, "invalid")["errors"]
    assert errors == {"version": [expected]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "This field is required."),
        ({"version": None}, "This field may not be null."),
        ({"version": "x"}, "A valid integer is required."),
        ({"version": 0}, "Ensure this value is greater than or equal to 1."),
        ({"version": 9}, "The movie has no such version."),
        ({"version": 4}, "The movie was deleted at this version."),
    ],
)
def test_invalid_target_versions(ann, deleted_url, body, expected):
    errors = problem(ann.post(f"{deleted_url}revert/", json=body), 400, "invalid")["errors"]
    assert errors == {"version": [expected]}


def test_reverting_an_unknown_movie_is_404(ann):
    problem(ann.post(f"/movies/{uuid.uuid4()}/revert/", json={}), 404, "not_found")


def test_the_feed_has_every_change_once_in_order(ann, deleted_url):
    movie_id = deleted_url.split("/")[2]
    found, url = [], "/events/?limit=2"
    while url:
        page = ann.get(url).json()
        assert len(page["results"]) <= 2
        found += page["results"]
        url = page["next"]
    positions = [entry["position"] for entry in found]
    assert positions == sorted(set(positions))
    mine = [entry for entry in found if entry["movie_id"] == movie_id]
    history = ann.get(f"{deleted_url}history/").json()["results"]
    assert [{k: v for k, v in entry.items() if k != "movie_id"} for entry in mine] == history
    assert ann.get(f"/events/?after={positions[-1]}").json() == {"results": [], "next": None}
    problem(ann.get("/events/?after=x"), 400, "invalid")


@contextmanager
def listening(client, **headers):
    """Collect (id, data) pairs of a stream in the background."""
    received, done = [], threading.Event()

    def listen():
        fields = {}
        with client.stream("GET", "/events/stream", headers=headers, timeout=30) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            ready.set()
            for line in response.iter_lines():
                if done.is_set():
                    return
                if not line and "data" in fields:
                    received.append((int(fields["id"]), json.loads(fields["data"])))
                    fields = {}
                elif line and line[0] != ":":
                    name, _, value = line.partition(": ")
                    fields[name] = value

    ready = threading.Event()
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(5)
    try:
        yield received
    finally:
        done.set()
        client.post("/movies/", json=ALIEN)  # wakes the listener
        thread.join(10)
        assert not thread.is_alive()


def test_the_stream_resumes_without_gap_or_repeat(service, ann):
    def new_client():
        return service.client(ann.pair["access"])

    start = ann.post("/movies/", json=ALIEN).headers["event-position"]
    made = [ann.post("/movies/", json=ALIEN | {"year": year}).json()["id"] for year in range(1, 8)]
    with listening(new_client(), **{"Last-Event-ID": start}) as received:
        made += [ann.post("/movies/", json=ALIEN | {"year": y}).json()["id"] for y in range(8, 12)]
        eventually(lambda: len(received) >= len(made))
        assert [entry["movie_id"] for _, entry in received[: len(made)]] == made
    last_id = received[4][0]
    with listening(new_client(), **{"Last-Event-ID": str(last_id)}) as again:
        eventually(lambda: len(again) >= len(made) - 5)
        assert again[: len(made) - 5] == received[5 : len(made)]
    assert all(position == entry["position"] for position, entry in received)


def test_a_stream_without_a_position_begins_at_the_head(service, ann):
    with listening(service.client(ann.pair["access"])) as received:
        movie = ann.post("/movies/", json=ALIEN).json()
        eventually(lambda: received)
        assert received[0][1]["movie_id"] == movie["id"]


def test_invalid_position(ann):
    problem(ann.get("/events/stream", headers={"Last-Event-ID": "x"}), 400, "invalid")


def test_a_movie_at_the_present_time(ann):
    """A movie at the present time equals the current movie."""
    movie = ann.post("/movies/", json=ALIEN).json()
    now = datetime.now(UTC).isoformat()
    assert ann.get(f"/movies/{movie['id']}/", params={"at": now}).json() == movie


@pytest.mark.parametrize("number", ["9" * 24, "0" * 20 + "9" * 24, "9" * 5000, "-1", "1.0", "²"])
def test_numbers_out_of_range_are_refused(ann, deleted_url, number):
    """Positions, limits and versions are at most 2**53."""
    for path, name in (
        ("/events/", "after"),
        ("/events/", "limit"),
        ("/events/stream", "after"),
        ("/movies/", "at_position"),
        (deleted_url, "version"),
    ):
        response = ann.get(path, params={name: number})
        assert problem(response, 400, "invalid")["errors"] == {name: ["Enter a number."]}
    for path, name in (("/events/stream", "Last-Event-ID"), ("/movies/", "Min-Event-Position")):
        response = ann.get(path, headers={name: number.encode()})
        assert set(problem(response, 400, "invalid")["errors"]) == {name}


def test_leading_zeros_are_ignored(ann, deleted_url):
    zeros = "0" * 30
    entry = ann.get(f"{deleted_url}history/").json()["results"][0]
    after = ann.get("/events/", params={"after": f"{zeros}{entry['position'] - 1}", "limit": "01"})
    assert after.json()["results"][0]["position"] == entry["position"]
    assert ann.get(deleted_url, params={"version": f"{zeros}2"}).json()["version"] == 2
    listed = ann.get("/movies/", params={"at_position": f"{zeros}{entry['position']}"})
    assert listed.headers["event-position"] == str(entry["position"])
    at_least = {"Min-Event-Position": f"{zeros}{entry['position']}"}
    assert ann.get("/movies/", headers=at_least).status_code == 200
    problem(ann.get("/events/", params={"after": 2**53}), 409, "position_unknown")


def test_version_and_time_exclude_each_other(ann, deleted_url):
    """All errors of the request are reported together."""
    both = ann.get(deleted_url, params={"version": 1, "at": "2026-01-01T00:00:00Z"})
    assert problem(both, 400, "invalid")["errors"] == {"at": ["Give either version or at."]}
    nonsense = ann.get(
        deleted_url, params={"version": "x", "at": "x"}, headers={"Min-Event-Position": "x"}
    )
    assert problem(nonsense, 400, "invalid")["errors"] == {
        "version": ["Enter a number."],
        "at": ["Enter a valid date/time.", "Give either version or at."],
        "Min-Event-Position": ["A valid integer is required."],
    }


@pytest.mark.parametrize("query", ["at=%20", "version=%20", "at=+&version=+", "at=&version="])
def test_a_blank_time_means_now(ann, query):
    movie = ann.post("/movies/", json=ALIEN).json()
    assert ann.get(f"/movies/{movie['id']}/?{query}").json() == movie
    ann.patch(f"/movies/{movie['id']}/", json={"year": 1980})
    assert ann.get(f"/movies/{movie['id']}/?{query}&version=1").json() == movie


def test_all_errors_of_a_stream_request_are_reported_at_once(ann):
    response = ann.get("/events/stream?after=x", headers={"Last-Event-ID": "x"})
    errors = problem(response, 400, "invalid")["errors"]
    assert errors == {"after": ["Enter a number."], "Last-Event-ID": ["Enter a number."]}


@pytest.fixture
def changed(ann):
    """A movie at version 2; its URL."""
    url = f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"
    ann.patch(url, json={"title": "Aliens"})
    return url


@pytest.mark.parametrize(
    "query",
    ["dry_run", "dry_run=", "dry_run=1", "dry_run=On", "dry_run=%20YES+", "dry_run=no&dry_run"],
)
def test_a_dry_run_writes_nothing(ann, changed, query):
    """The bare name suffices; the last of repeated values counts."""
    dry = ann.post(f"{changed}revert/?{query}", json={"version": 1})
    assert (dry.status_code, dry.json()["title"]) == (200, "Alien")
    assert ann.get(changed).json()["title"] == "Aliens"


@pytest.mark.parametrize(
    "query", ["dry_run=0", "dry_run=False", "dry_run=off", "dry_run&dry_run=no"]
)
def test_dry_run_can_be_disabled_explicitly(ann, changed, query):
    ann.post(f"{changed}revert/?{query}", json={"version": 1})
    assert ann.get(changed).json()["title"] == "Alien"


def test_an_invalid_dry_run_writes_nothing(ann, bob, changed):
    """It is reported together with body errors, after the checks of existence and ownership."""
    url, expected = f"{changed}revert/?dry_run=maybe", ["Must be a valid boolean."]
    refused = ann.post(url, json={"version": 1})
    assert problem(refused, 400, "invalid")["errors"] == {"dry_run": expected}
    both = ann.post(url, json={"version": "x"}, headers={"Idempotency-Key": "ü".encode()})
    assert problem(both, 400, "invalid")["errors"] == {
        "dry_run": expected,
        "version": ["A valid integer is required."],
        "Idempotency-Key": ["Enter 1 to 255 printable ASCII characters."],
    }
    problem(bob.post(url, json={"version": 1}), 403, "permission_denied")
    missing = ann.post(f"/movies/{uuid.uuid4()}/revert/?dry_run=maybe", json={"version": 1})
    problem(missing, 404, "not_found")
    assert ann.get(changed).json()["version"] == 2


def test_an_idempotency_key_does_not_skip_validation(ann, changed):
    once = {"Idempotency-Key": str(uuid.uuid4())}
    assert ann.post(f"{changed}revert/", json={"version": 1}, headers=once).is_success
    again = ann.post(f"{changed}revert/?dry_run=maybe", json={"version": 1}, headers=once)
    problem(again, 400, "invalid")


def test_a_feed_position_beyond_the_log_is_refused(ann, deleted_url):
    head = int(ann.get(f"{deleted_url}history/").headers["event-position"])
    beyond = ann.get("/events/", params={"after": head + 1000})
    problem(beyond, 409, "position_unknown")
    assert ann.get(f"/events/?after={head}").headers["event-position"] == str(head)


def test_log_reads_honour_min_event_position(ann, deleted_url):
    """A position beyond the log is refused."""
    for path in (f"{deleted_url}history/", "/events/"):
        head = int(ann.get("/movies/").headers["event-position"])
        shown = ann.get(path, headers={"Min-Event-Position": str(head)})
        assert shown.status_code == 200
        less = ann.get(path, headers={"Min-Event-Position": str(head + 10_000)})
        problem(less, 409, "position_unknown")
        nonsense = ann.get(path, headers={"Min-Event-Position": "soon"})
        errors = problem(nonsense, 400, "invalid")["errors"]
        assert errors == {"Min-Event-Position": ["A valid integer is required."]}
