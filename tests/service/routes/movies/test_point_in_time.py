"""``GET /movies/`` at a point in time, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.running import problem


@pytest.fixture(scope="module")
def times(service):
    """Three movies of a new account, and the list before each change."""
    account = service.account("clio")
    mine = {"creator__username": "clio", "ordering": "title"}
    times, ids = [], []

    def look():
        answer = account.get("/movies/", params=mine)
        times.append((int(answer.headers["Event-Position"]), answer.json()["results"]))

    look()
    for title in ("Alien", "Brazil", "Cube"):
        body = {"title": title, "genre": "Drama", "year": 1990}
        ids.append(account.post("/movies/", json=body).json()["id"])
        look()
    account.patch(f"/movies/{ids[0]}/", json={"title": "Zardoz"})
    look()
    account.delete(f"/movies/{ids[1]}/")
    look()
    account.mine, account.times = mine, times
    return account


def test_at_a_position(times):
    """A list can be read again by its position."""
    for position, shown in times.times[-3:]:
        answer = times.get("/movies/", params={**times.mine, "at_position": position})
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"] == shown
        assert answer.json()["count"] == len(shown)
        assert answer.headers["Event-Position"] == str(position)


def test_at_a_time(times):
    """The list includes all events up to the time."""
    position, shown = times.times[3]
    at = shown[-1]["created_at"]
    answer = times.get("/movies/", params={**times.mine, "at": at})
    assert answer.json()["results"] == shown
    assert int(answer.headers["Event-Position"]) <= position


def test_pages_as_of_a_position_stay_the_same(times):
    """Links by number and cursor lead to the same state."""
    position, shown = times.times[3]
    params = {**times.mine, "at_position": position, "page_size": 2}
    first = times.get("/movies/", params=params)
    following = times.get(first.json()["next"])
    assert [*first.json()["results"], *following.json()["results"]] == shown
    assert times.get(following.json()["previous"]).json() == first.json()
    assert times.get(first.links["next"]["url"]).json()["results"] == shown[2:]


def test_a_known_page_is_not_sent_again(times):
    """A past page never changes."""
    position, _ = times.times[3]
    params = {**times.mine, "at_position": position}
    tag = times.get("/movies/", params=params).headers["ETag"]
    again = times.get("/movies/", params=params, headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_a_present_or_future_time_means_now(times):
    """The same holds for the last position."""
    _, shown = times.times[-1]
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    head = times.get("/movies/").headers["Event-Position"]
    for params in ({"at": later}, {"at_position": head}):
        answer = times.get("/movies/", params={**times.mine, **params})
        assert answer.json()["results"] == shown


def test_a_time_before_the_first_event_shows_an_empty_list(times):
    answer = times.get("/movies/", params={"at": "1999-12-31T23:59:59Z"})
    assert (answer.json()["count"], answer.headers["Event-Position"]) == (0, "0")


def test_a_position_beyond_the_log_is_refused(times):
    head = int(times.get("/movies/").headers["Event-Position"])
    params = {"at_position": head + 1000}
    assert problem(times.get("/movies/", params=params), 409, "position_unknown")["head"] >= head


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"at_position": "x"}, "at_position"),
        ({"at_position": "-1"}, "at_position"),
        ({"at_position": "9" * 30}, "at_position"),
        ({"at": "yesterday"}, "at"),
        ({"at": "2026-01-01T00:00:00Z", "at_position": "1"}, "at"),
    ],
)
def test_malformed_times_and_positions_are_refused(times, params, field):
    assert set(problem(times.get("/movies/", params=params), 400, "invalid")["errors"]) == {field}


def test_a_point_in_time_needs_credentials(service):
    with service.client() as anyone:
        problem(anyone.get("/movies/?at_position=1"), 401, "not_authenticated")


@pytest.mark.parametrize(
    ("params", "errors"),
    [
        (
            {"at": "x", "year": "x", "title": "\0"},
            {
                "at": ["Enter a valid date/time."],
                "year": ["Enter a number."],
                "title": ["Null characters are not allowed."],
            },
        ),
        (
            {"at_position": "x", "year": "x"},
            {"at_position": ["Enter a number."], "year": ["Enter a number."]},
        ),
        (
            {"at_position": "x", "at": "x"},
            {
                "at_position": ["Enter a number."],
                "at": ["Enter a valid date/time.", "Give either at or at_position."],
            },
        ),
        ({"at": "x", "page": "x"}, {"at": ["Enter a valid date/time."]}),
    ],
)
def test_all_errors_of_a_list_request_are_reported_at_once(times, params, errors):
    """They take precedence over an unknown page."""
    assert problem(times.get("/movies/", params=params), 400, "invalid")["errors"] == errors
    response = times.get("/movies/", params=params, headers={"Min-Event-Position": "x"})
    assert problem(response, 400, "invalid")["errors"] == errors | {
        "Min-Event-Position": ["A valid integer is required."]
    }


@pytest.mark.parametrize(
    "params", [{"at": " "}, {"at_position": " "}, {"at": " ", "at_position": " "}]
)
def test_a_blank_time_means_now(times, params):
    _, shown = times.times[-1]
    assert times.get("/movies/", params=times.mine | params).json()["results"] == shown


def test_a_blank_time_beside_a_position_is_ignored(times):
    position, shown = times.times[3]
    params = times.mine | {"at": " ", "at_position": position}
    assert times.get("/movies/", params=params).json()["results"] == shown
