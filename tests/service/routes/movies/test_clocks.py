"""Lists and movies at a point in time agree in spite of clock changes."""

from datetime import UTC, datetime, timedelta

import pytest

from commands.aggregates.movie import Movie, MovieDetails
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from tests.controls import metadata, new_id
from tests.running import Cinelog

TEN = datetime(2026, 1, 2, 10, tzinfo=UTC)


def at(minutes):
    return TEN + timedelta(minutes=minutes)


# A clock was an hour ahead and corrected; later, two machines differ by a second.
MINUTES = [60, 61, 62, 63, 5, 6, 7, 64, 64 - 1 / 60, 66]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """A client of a service whose log has movies with these timestamps; ids in log order."""
    data_dir = tmp_path_factory.mktemp("shifted") / "var"
    with Cinelog(data_dir) as service:
        by = service.account("ann").account["id"]
    # The account's events come first, with the earliest timestamps.
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    offset = datetime.now(UTC) + timedelta(minutes=10) - TEN
    ids = []
    for minutes in MINUTES:
        stamped = metadata(by)._replace(timestamp=at(minutes) + offset)
        movie = Movie.create(new_id(), MovieDetails("Alien", "Horror", 1979), stamped)
        store.append([movie])
        ids.append(str(movie.id))
    first = store.head() - len(ids)
    store.close()
    with Cinelog(data_dir) as service:
        client = service.client()
        pair = client.post("/auth/token/", json={"username": "ann", "password": "correct-horse-7"})
        client.headers["Authorization"] = f"Bearer {pair.json()['access']}"
        client.ids, client.first, client.offset = ids, first, offset
        yield client


@pytest.mark.parametrize(
    ("minutes", "shown"),
    [(30, 0), (59.99, 0), (60, 1), (62.5, 3), (63, 7), (64 - 1 / 60, 7), (64, 9), (66, 10)],
)
def test_lists_and_movies_agree_at_a_time(shifted, minutes, shown):
    """Both show the log up to the first later timestamp and return that position."""
    params = {"at": rfc3339(at(minutes) + shifted.offset)}
    listed = shifted.get("/movies/", params={**params, "page_size": 100, "ordering": "created_at"})
    assert listed.status_code == 200, listed.text
    # The sign-in event follows the last movie.
    position = shifted.first + shown + (shown == len(MINUTES))
    assert listed.headers["Event-Position"] == str(position)
    assert {row["id"] for row in listed.json()["results"]} == {*shifted.ids[:shown]}
    for place, movie in enumerate(shifted.ids):
        answer = shifted.get(f"/movies/{movie}/", params=params)
        assert answer.status_code == (200 if place < shown else 404)
        if answer.is_success:
            assert answer.headers["Event-Position"] == listed.headers["Event-Position"]


def test_a_future_time_before_the_last_timestamp_is_a_past_state(shifted):
    """The log's last timestamps are an hour ahead of this machine."""
    params = {"at": rfc3339(datetime.now(UTC) + timedelta(minutes=20))}
    listed = shifted.get("/movies/", params=params)
    assert int(listed.headers["Event-Position"]) < shifted.first + len(MINUTES)


def test_a_time_after_all_events_is_the_current_state(shifted):
    listed = shifted.get("/movies/", params={"at": "9999-01-01T00:00:00Z"})
    assert listed.json()["count"] == len(MINUTES)
    assert listed.headers["Event-Position"] == shifted.get("/movies/").headers["Event-Position"]
