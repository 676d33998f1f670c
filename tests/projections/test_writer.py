"""A batch and its position become visible in one step; each event counts once."""

import threading

import orjson
import pytest

from projections.generation import lifecycle
from projections.generation.writer import EventsNotApplicableError, GenerationWriter
from projections.keys import Keys
from projections.redis_client import open_redis
from tests.read_side import Story, apply, contents, make_live


@pytest.fixture
def writer(redis):
    return lifecycle.begin(redis)


def movies(count):
    story = Story()
    by = story.account()
    for number in range(count):
        story.created(by, title=f"Alien {number}")
    return story


def test_rows_and_state_change_together(writer):
    """The state has the last event's position and time, and the number of events."""
    story = movies(3)
    assert writer.apply(story.events, 0) == 4
    at = story.events[-1].data["timestamp"]
    assert writer.read_state()[:4] == (4, 4, at, "building")
    assert writer.read_state().last == f"{story.events[-1].stream_id}:1:{at}"


def test_a_replayed_batch_changes_nothing(redis, writer):
    """The stored position is returned."""
    story = movies(3)
    writer.apply(story.events, 0)
    before = contents(redis, 1)
    assert writer.apply(story.events, 0) == 4
    assert GenerationWriter(redis, 1).apply(story.events, 0) == 4
    assert GenerationWriter(redis, 1).apply(story.events[:2], 0) == 4
    assert contents(redis, 1) == before


def test_a_batch_after_another_position_is_not_applied(writer):
    story = movies(3)
    assert writer.apply(story.events[2:], 2) == 0
    assert writer.read_state().events == 0


def test_two_writers_count_each_event_once(valkey, redis, writer):
    """Both apply the whole log."""
    story = movies(400)
    for key in [event.stream_id for event in story.events[1:200]]:
        story.updated(key, year=1986)
        story.deleted(key)
    start = threading.Barrier(2)

    def run(size):
        client = open_redis(valkey.url)
        mine, position = GenerationWriter(client, 1), 0
        start.wait()
        while position < len(story.events):
            position = mine.apply(story.events[position : position + size], position)
        client.close()

    threads = [threading.Thread(target=run, args=(size,)) for size in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = GenerationWriter(redis, 2)
    alone.create()
    apply(alone, story)
    assert contents(redis, 1) == contents(redis, 2)


def test_a_batch_may_be_larger_than_lua_unpacks(redis, writer):
    """The script divides long commands."""
    story = movies(9_001)
    assert writer.apply(story.events, 0) == 9_002
    assert redis.hlen(Keys(1).rows) == 9_001
    for key in [event.stream_id for event in story.events[1:]]:
        story.deleted(key)
    apply(writer, story, batch=10_000)
    assert redis.hlen(Keys(1).rows) == 0


def test_flushed_scripts_are_sent_again(redis, writer):
    story = movies(2)
    writer.apply(story.events[:1], 0)
    redis.script_flush()
    assert writer.apply(story.events[1:], 1) == 3


def test_a_deleted_generation_takes_no_events(redis, writer):
    story = movies(1)
    redis.flushall()
    assert writer.apply(story.events, 0) is None
    assert writer.checkpoint() is None
    assert redis.keys("*") == []


def test_a_retired_generation_takes_no_events(redis, writer):
    """A switch stops the writers of the previous generation."""
    redis.hset(writer.keys.state, "state", "retired")
    assert writer.apply(movies(1).events, 0) is None
    assert writer.checkpoint() is None


def test_usernames_come_from_the_generation(redis, writer):
    """A writer that did not apply the registration finds the stored name."""
    story = Story()
    by = story.account("Zoë")
    writer.apply(story.events, 0)
    key = story.created(by)
    GenerationWriter(redis, 1).apply(story.events[1:], 1)
    assert b'"creator":"Zo\xc3\xab"' in redis.hget(Keys(1).rows, key)


def test_only_the_live_generation_publishes(redis):
    """A client that waits for a position must not wake for a list that is not shown."""
    story = movies(2)
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("movies:position")
        building = GenerationWriter(redis, 7)
        building.create()
        building.apply(story.events[:1], 0)
        lifecycle.go_live(redis, building)
        building.apply(story.events[1:], 1)
        heard = [pubsub.get_message(timeout=0.2) for _ in range(4)]
    assert [message["data"] for message in heard if message] == [b"7:1", b"7:3"]


def test_refused_events_apply_nothing_unless_they_are_parked(redis, writer):
    """A parked movie has position, type and error; all others are applied."""
    story = movies(2)
    poison = story.created("unknown")
    story.updated(poison, title="x")
    with pytest.raises(EventsNotApplicableError) as refused:
        writer.apply(story.events, 0)
    assert set(refused.value.refused) == {poison}
    assert writer.checkpoint() == 0
    assert writer.apply(story.events, 0, park=True) == 5
    assert writer.read_state().events == 3
    parked = redis.hgetall(Keys(1).parked)
    assert list(parked) == [poison.encode()]
    why = orjson.loads(parked[poison.encode()])
    assert (why["position"], why["type"]) == (4, "MovieCreated")


def test_parked_movies_stay_parked_for_every_writer(redis, writer):
    """This includes a later writer and one that was overtaken."""
    story = movies(1)
    poison = story.created("unknown")
    overtaken = GenerationWriter(redis, 1)
    assert overtaken.apply(story.events[:1], 0) == 1
    assert writer.checkpoint() == 1
    writer.apply(story.events[1:], 1, park=True)
    story.updated(poison, title="x")
    assert overtaken.apply(story.events[1:2], 1) == 3
    assert overtaken.apply(story.events[3:], 3) == 4
    story.deleted(poison)
    assert GenerationWriter(redis, 1).apply(story.events[4:], 4) == 5
    assert writer.read_state()[:4] == (5, 2, story.events[-1].data["timestamp"], "building")
    assert writer.read_state().parked == 1


def test_a_new_generation_does_not_change_the_live_one(redis):
    story = movies(5)
    old = make_live(redis, story)
    before = contents(redis, old.number)
    for key in [event.stream_id for event in story.events[1:]]:
        story.deleted(key)
    new = GenerationWriter(redis, old.number + 1)
    new.create()
    apply(new, story, batch=2)
    assert contents(redis, old.number) == before
    assert lifecycle.live_number(redis) == old.number
    assert lifecycle.go_live(redis, new)
    assert lifecycle.live_number(redis) == new.number
    assert contents(redis, old.number) == {}
