"""The summary counts events by day, and is never read from half a generation."""

import orjson
import pytest

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.errors import ReadModelUnavailableError
from projections.rebuild.verify import verify
from queries.event_summary import NAMES, EventSummary
from tests.controls import ANN, create
from tests.library import caught_up, library, live, write
from tests.read_side import Story, apply, make_live


@pytest.fixture
def summary(reader):
    return EventSummary(reader)


def story_of(days):
    """Write a story with a movie created on each day."""
    story = Story()
    ann = story.account()
    for day in days:
        story.created(ann, timestamp=f"{day}T12:00:00.000000Z")
    return story


async def results(summary):
    return orjson.loads((await summary.by_day()).json)["results"]


def day(name, created=0, updated=0, deleted=0, restored=0):
    return {
        "day": name,
        "created": created,
        "updated": updated,
        "deleted": deleted,
        "restored": restored,
    }


def test_every_event_of_a_movie_has_a_name():
    assert set(NAMES) == set(MOVIE_EVENTS)


async def test_days_are_in_order_and_those_without_events_are_left_out(redis, summary):
    story = story_of(["2026-01-10", "2025-12-31", "2026-01-10"])
    key = story.events[-1].stream_id
    story.append("MovieUpdated", key, year=1980, timestamp="2026-02-01T00:00:00.000000Z")
    story.append("MovieDeleted", key, timestamp="2026-02-01T23:59:59.999999Z")
    story.append(
        "MovieRestored", key, title="A", genre="B", year=1, timestamp="2026-02-02T00:00:00.000000Z"
    )
    make_live(redis, story)
    assert await results(summary) == [
        day("2025-12-31", created=1),
        day("2026-01-10", created=2),
        day("2026-02-01", updated=1, deleted=1),
        day("2026-02-02", restored=1),
    ]


async def test_many_days_are_read(redis, summary):
    """More than Lua unpacks at once."""
    names = [f"20{year:02}-{month:02}-01" for year in range(10, 99) for month in range(1, 13)]
    writer = make_live(redis, story_of(names[:1]))
    for topic in ("Created", "Updated", "Deleted", "Restored"):
        redis.hset(writer.keys.days, mapping={f"{name}:Movie{topic}": 1 for name in names})
    redis.hset(writer.keys.state, "days", redis.hlen(writer.keys.days))
    assert await results(summary) == [day(name, 1, 1, 1, 1) for name in names]


async def test_the_digest_changes_with_the_summary_only(redis, summary):
    story = story_of(["2026-01-10"])
    writer = make_live(redis, story)
    first = await summary.by_day()
    assert await summary.by_day() == first
    story.account("bob")
    apply(writer, story)
    second = await summary.by_day()
    assert (second.position, second.digest) == (first.position + 1, first.digest)
    story.created(story.events[0].stream_id)
    apply(writer, story)
    assert (await summary.by_day()).digest != first.digest


async def test_a_repair_at_the_same_position_is_shown(sqlite_store, redis, summary):
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    right = await summary.by_day()
    field = redis.hkeys(live(redis).keys.days)[0]
    redis.hset(live(redis).keys.days, field, 99)
    write(sqlite_store, create(by=ANN))
    caught_up(sqlite_store, redis)
    wrong = await summary.by_day()
    assert b"99" in wrong.json or b"100" in wrong.json
    verify(sqlite_store, redis, repair=True)
    repaired = await summary.by_day()
    assert repaired.position == wrong.position
    assert orjson.loads(repaired.json)["results"][0]["created"] == 7
    assert repaired.digest not in (right.digest, wrong.digest)


async def test_a_position_that_is_not_reached_is_refused(redis, summary):
    make_live(redis, story_of(["2026-01-10"]))
    assert (await summary.by_day(2)).position == 2
    with pytest.raises(ReadModelUnavailableError, match="has not reached"):
        await summary.by_day(3)


@pytest.mark.parametrize("fault", ["wiped", "lost counts", "no number", "state"])
async def test_nothing_is_shown_of_a_broken_generation(sqlite_store, redis, summary, fault):
    """Once it is built again, the summary is as before."""
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    before = await summary.by_day()
    keys = live(redis).keys
    if fault == "wiped":
        redis.flushall()
    elif fault == "lost counts":
        redis.delete(keys.days)
    elif fault == "state":
        redis.delete(keys.state)
    else:
        redis.hset(keys.days, redis.hkeys(keys.days)[0], "x")
        redis.hincrby(keys.state, "mends", 1)  # as every change of a generation at rest
    with pytest.raises(ReadModelUnavailableError):
        await summary.by_day()
    if fault == "no number":
        verify(sqlite_store, redis, repair=True)
    else:
        caught_up(sqlite_store, redis)
    assert await summary.by_day() == before
