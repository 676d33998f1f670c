"""The list as it was and the movie as it was agree, whatever clocks did."""

from datetime import UTC, datetime, timedelta

import pytest

from commands.event_store.store import Store
from commands.movie import Movie, MovieDetails
from commands.rfc3339 import rfc3339
from tests.controls import metadata, new_id
from tests.running import Cinelog

TEN = datetime(2026, 1, 2, 10, tzinfo=UTC)


def at(minutes):
    return TEN + timedelta(minutes=minutes)


# A clock an hour ahead that was put right, then two machines a second apart.
MINUTES = [60, 61, 62, 63, 5, 6, 7, 64, 64 - 1 / 60, 66]


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """A service whose log begins with movies stamped in this order; their ids in log order."""
    data_dir = tmp_path_factory.mktemp("late") / "var"
    with Cinelog(data_dir) as service:
        by = service.account("ann").account["id"]
    # The account stands before them, and is no later than all that is asked for.
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
def test_lists_and_movies_agree(late, minutes, shown):
    """Both show the log up to the first event stamped later, and tell that position."""
    asked = {"at": rfc3339(at(minutes) + late.offset)}
    listed = late.get("/movies/", params={**asked, "page_size": 100, "ordering": "created_at"})
    assert listed.status_code == 200, listed.text
    # Behind the last movie stands the event of signing in.
    position = late.first + shown + (shown == len(MINUTES))
    assert listed.headers["Event-Position"] == str(position)
    assert {row["id"] for row in listed.json()["results"]} == {*late.ids[:shown]}
    for place, movie in enumerate(late.ids):
        answer = late.get(f"/movies/{movie}/", params=asked)
        assert answer.status_code == (200 if place < shown else 404)
        if answer.is_success:
            assert answer.headers["Event-Position"] == listed.headers["Event-Position"]


def test_a_time_to_come_is_not_now_where_stamps_are_ahead(late):
    """The last events of this log are stamped an hour ahead of this machine."""
    asked = {"at": rfc3339(datetime.now(UTC) + timedelta(minutes=20))}
    listed = late.get("/movies/", params=asked)
    assert int(listed.headers["Event-Position"]) < late.first + len(MINUTES)


def test_after_all_of_it_is_now(late):
    listed = late.get("/movies/", params={"at": "9999-01-01T00:00:00Z"})
    assert listed.json()["count"] == len(MINUTES)
    assert listed.headers["Event-Position"] == late.get("/movies/").headers["Event-Position"]
