"""``GET /events/summary``: events by day, from the read model."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.controls import ALIEN
from tests.running import Cinelog, eventually, problem, run

COUNTED = {
    "MovieCreated": "created",
    "MovieUpdated": "updated",
    "MovieDeleted": "deleted",
    "MovieRestored": "restored",
}


def counted(client):
    """Return the counts of all days, from the feed."""
    counts, url = {}, "/events/?limit=1000"
    while url:
        page = client.get(url).json()
        for event in page["results"]:
            counts.setdefault(event["at"][:10], Counter())[COUNTED[event["type"]]] += 1
        url = page["next"]
    empty = dict.fromkeys(COUNTED.values(), 0)
    return [{"day": day, **empty, **counts[day]} for day in sorted(counts)]


@pytest.fixture
def movie(ann):
    """A movie that was created, changed, deleted and restored."""
    url = f"/movies/{ann.post('/movies/', json=ALIEN).json()['id']}/"
    ann.patch(url, json={"year": 1980})
    ann.delete(url)
    ann.post(f"{url}revert/", json={"version": 1})
    return url


def test_each_event_is_counted_for_its_day(ann, bob, movie):
    before = ann.get("/events/summary", params={"by": "day"}).json()
    assert before == {"results": counted(ann)}
    bob.post("/movies/", json=ALIEN)
    after = ann.get("/events/summary", params={"by": "day"}).json()
    assert after == {"results": counted(ann)}
    assert after["results"][-1]["day"] == f"{datetime.now(UTC):%Y-%m-%d}"
    assert after["results"][-1]["created"] == before["results"][-1]["created"] + 1


@pytest.mark.parametrize("url", ["/events/summary/", "/events/summary?by=", "/events/summary"])
def test_days_are_the_default(ann, movie, url):
    assert ann.get(url).json() == ann.get("/events/summary?by=day").json()


@pytest.mark.parametrize("by", ["week", "Day", "\0"])
def test_by_anything_else_is_refused(ann, by):
    refused = ann.get("/events/summary", params={"by": by}, headers={"Min-Event-Position": "x"})
    assert problem(refused, 400, "invalid")["errors"] == {
        "by": ["Select a valid choice: day."],
        "Min-Event-Position": ["A valid integer is required."],
    }


def test_it_needs_a_token(service):
    problem(service.client().get("/events/summary"), 401, "not_authenticated")


def test_it_is_not_sent_again_until_it_changes(ann, movie, service):
    first = ann.get("/events/summary")
    tag = first.headers["etag"]
    assert tag.startswith('W/"s')
    assert first.headers["event-log"] == ann.get("/movies/").headers["event-log"]
    again = ann.get("/events/summary", headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    someone = service.account("summary-reader")
    position = someone.get("/movies/").headers["event-position"]
    later = {"If-None-Match": tag, "Min-Event-Position": position}
    same = ann.get("/events/summary", headers=later)
    assert same.status_code == 304
    assert int(same.headers["event-position"]) >= int(position)
    problem(ann.get("/events/summary", headers={"If-Match": '"x"'}), 412, "precondition_failed")
    ann.patch(movie, json={"year": 1981})
    changed = ann.get("/events/summary", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_it_includes_the_position_that_is_asked_for(ann, movie):
    written = ann.patch(movie, json={"year": 1999}, headers={"Prefer": "respond-async"})
    position = written.headers["event-position"]
    shown = ann.get("/events/summary", headers={"Min-Event-Position": position})
    assert int(shown.headers["event-position"]) >= int(position)
    assert shown.json() == {"results": counted(ann)}
    beyond = ann.get("/events/summary", headers={"Min-Event-Position": str(int(position) + 999)})
    problem(beyond, 409, "position_unknown")


def test_it_is_the_same_after_redis_was_wiped_and_after_a_rebuild(tmp_path):
    with Cinelog(tmp_path / "var", write_wait_ms=5000) as cinelog:
        ann = cinelog.account("ann")
        assert ann.get("/events/summary").json() == {"results": []}
        for _ in range(3):
            ann.post("/movies/", json=ALIEN)
        first = ann.get("/events/summary")
        assert [day["created"] for day in first.json()["results"]] == [3]
        cinelog.redis().flushall()

        def summary():
            answer = ann.get("/events/summary")
            assert answer.status_code in (200, 503)
            return answer if answer.is_success else None

        wiped = eventually(summary)
        assert (wiped.json(), wiped.headers["etag"]) == (first.json(), first.headers["etag"])
        assert run(tmp_path / "var", "rebuild", "--parallel", 2).returncode == 0
        assert ann.get("/events/summary").json() == first.json()
        (days,) = cinelog.redis().scan_iter("{movies:*}:days")
        (field,) = cinelog.redis().hkeys(days)
        cinelog.redis().hset(days, field, 7)
        found = run(tmp_path / "var", "verify", "--repair")
        assert (found.returncode, "days" in found.stdout) == (1, True)
        assert run(tmp_path / "var", "verify").returncode == 0
        assert ann.get("/events/summary").json() == first.json()
