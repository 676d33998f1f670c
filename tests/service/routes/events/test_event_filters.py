"""Filters of the feed and the stream over HTTP."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from commands.rfc3339 import rfc3339
from tests.controls import ALIEN
from tests.running import problem


@pytest.fixture(scope="module")
def zoe(service):
    return service.account("Zoë.feed")


@pytest.fixture(scope="module")
def movies(ann, zoe):
    """Two movies: one of ann, changed, deleted and restored, and one of zoe; the times between."""
    mine = ann.post("/movies/", json=ALIEN).json()["id"]
    ann.patch(f"/movies/{mine}/", json={"year": 1980})
    middle = rfc3339(datetime.now(UTC))
    ann.delete(f"/movies/{mine}/")
    ann.post(f"/movies/{mine}/revert/", json={"version": 1})
    theirs = zoe.post("/movies/", json=ALIEN).json()["id"]
    return {"mine": mine, "theirs": theirs, "middle": middle}


def events(client, **params):
    """Return all events, over as many pages as it takes."""
    found, url = [], client.get("/events/", params=params)
    while True:
        page = url.json()
        found += page["results"]
        if not page["next"]:
            return found
        url = client.get(page["next"])


def types(found):
    return [event["type"] for event in found]


def test_filters_combine(ann, movies):
    mine, middle = movies["mine"], movies["middle"]
    everything = ["MovieCreated", "MovieUpdated", "MovieDeleted", "MovieRestored"]
    assert types(events(ann, movie=mine)) == everything
    assert types(events(ann, movie=mine.upper(), limit=1)) == everything
    assert types(events(ann, movie=mine, type="MovieDeleted")) == ["MovieDeleted"]
    assert types(events(ann, movie=mine, at__lt=middle)) == everything[:2]
    assert types(events(ann, movie=mine, at__gte=middle)) == everything[2:]
    assert events(ann, movie=mine, at__gte=middle, at__lt=middle) == []
    assert events(ann, movie=mine, actor__username="zoë.feed") == []
    assert events(ann, movie=str(uuid.uuid4())) == []


def test_a_username_is_compared_without_regard_to_case(ann, movies):
    (event,) = events(ann, actor__username=" ZOË.FEED ")
    assert event["movie_id"] == movies["theirs"]
    assert event["actor"]["username"] == "Zoë.feed"
    assert events(ann, actor__username="Zoë.fee") == []
    assert events(ann, actor__username="Zoë.feed", type="MovieDeleted") == []


def test_events_are_those_of_the_feed_without_filters(ann, movies):
    unfiltered = events(ann)
    for params, passes in (
        ({"type": "MovieUpdated"}, lambda event: event["type"] == "MovieUpdated"),
        ({"at__gte": movies["middle"]}, lambda event: event["at"] >= movies["middle"]),
        ({"at__lt": movies["middle"]}, lambda event: event["at"] < movies["middle"]),
    ):
        wanted = [event for event in unfiltered if passes(event)]
        assert events(ann, **params) == wanted
        assert events(ann, **params, limit=2) == wanted


def test_next_keeps_the_filters(ann, movies):
    params = {"movie": movies["mine"], "actor__username": "ann", "at__gte": "1979-01-01T00:00:00Z"}
    first = ann.get("/events/", params={**params, "limit": 3, "other": "x"})
    page = first.json()
    assert len(page["results"]) == 3
    assert first.headers["event-position"] == str(page["results"][-1]["position"])
    assert "other" not in page["next"]
    last = ann.get(page["next"]).json()
    assert (types(last["results"]), last["next"]) == (["MovieRestored"], None)


def test_at_the_end_the_position_is_that_of_the_log(ann, movies):
    head = ann.get("/movies/").headers["event-position"]
    for params in (
        {"movie": movies["mine"]},
        {"actor__username": "nobody-at-all"},
        {"at__lt": "1979-01-01T00:00:00Z"},
        {"type": "MovieRestored", "limit": 1000},
    ):
        answer = ann.get("/events/", params=params)
        assert answer.json()["next"] is None
        assert int(answer.headers["event-position"]) >= int(head)


def test_blank_filters_are_ignored_and_the_last_of_repeated_ones_counts(ann, movies):
    url = f"/events/?movie={movies['mine']}&type=&at__lt=+&actor__username="
    assert len(ann.get(url).json()["results"]) == 4
    twice = ann.get(f"{url}&type=nonsense&type=MovieUpdated").json()["results"]
    assert types(twice) == ["MovieUpdated"]


def test_an_offset_may_be_sent_unescaped(ann, movies):
    url = f"/events/?movie={movies['mine']}&at__gte=1979-01-01T00:00:00+02:00"
    assert len(ann.get(url).json()["results"]) == 4


@pytest.mark.parametrize("path", ["/events/", "/events/stream"])
def test_wrong_filters_are_reported_at_once(ann, path):
    params = {"type": "x", "movie": "x", "actor__username": "\0", "at__gte": "x", "at__lt": "2026"}
    refused = ann.get(path, params=params | {"after": "x"})
    errors = problem(refused, 400, "invalid")["errors"]
    assert errors == {
        "after": ["Enter a number."],
        "type": [
            "Select a valid choice: MovieCreated, MovieUpdated, MovieDeleted or MovieRestored."
        ],
        "movie": ["Enter a valid UUID."],
        "actor__username": ["Null characters are not allowed."],
        "at__gte": ["Enter a valid date/time."],
        "at__lt": ["Enter a valid date/time."],
    }


def test_a_stream_sends_what_passes(ann, zoe, movies):
    before = int(ann.get("/movies/").headers["event-position"])
    params = {"after": before, "actor__username": "zoë.feed", "type": "MovieCreated"}
    with ann.stream("GET", "/events/stream", params=params, timeout=20) as response:
        ann.post("/movies/", json=ALIEN)
        zoe.patch(f"/movies/{movies['theirs']}/", json={"year": 1990})
        added = zoe.post("/movies/", json=ALIEN).json()["id"]
        data = next(line for line in response.iter_lines() if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["movie_id"] == added


def test_a_stream_begins_by_time(ann, movies):
    """What is stamped earlier is not read event by event."""
    params = {"after": 0, "movie": movies["mine"], "at__gte": movies["middle"]}
    with ann.stream("GET", "/events/stream", params=params, timeout=20) as response:
        lines = response.iter_lines()
        names = [next(line for line in lines if line.startswith("event: ")) for _ in range(2)]
    assert names == ["event: MovieDeleted", "event: MovieRestored"]
