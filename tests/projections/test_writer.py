"""A batch and its position become visible in one step, and each event counts once."""

import threading

import orjson
import pytest

from projections.generation import lifecycle
from projections.generation.writer import EventsNotApplicableError, GenerationWriter
from projections.keys import Keys
from projections.redis_client import open_redis
from tests.read_side import Story, apply, contents, shown


@pytest.fixture
def view(redis):
    return lifecycle.begin(redis)


def movies(count):
    story = Story()
    by = story.account()
    for number in range(count):
        story.created(by, title=f"Alien {number}")
    return story


def test_rows_and_head_move_together(view):
    """The head tells position, events applied, time of the last one and state."""
    story = movies(3)
    assert view.apply(story.events, 0) == 4
    at = story.events[-1].data["timestamp"]
    assert view.read_state()[:4] == (4, 4, at, "building")
    assert view.read_state().last == f"{story.events[-1].stream_id}:1:{at}"


def test_a_replayed_batch_changes_nothing(redis, view):
    """Neither rows nor the count of events: the answer is the position there is."""
    story = movies(3)
    view.apply(story.events, 0)
    before = contents(redis, 1)
    assert view.apply(story.events, 0) == 4
    assert GenerationWriter(redis, 1).apply(story.events, 0) == 4
    assert GenerationWriter(redis, 1).apply(story.events[:2], 0) == 4
    assert contents(redis, 1) == before


def test_a_batch_from_elsewhere_is_not_applied(view):
    """Only the batch that follows the stored position is."""
    story = movies(3)
    assert view.apply(story.events[2:], 2) == 0
    assert view.read_state().events == 0


def test_two_views_at_once_count_each_event_once(valkey, redis, view):
    """Both run through the whole log; the result is that of one."""
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


def test_a_batch_larger_than_lua_unpacks(redis, view):
    """Long commands are cut inside the script; nothing is lost at the cuts."""
    story = movies(9_001)
    assert view.apply(story.events, 0) == 9_002
    assert redis.zcard(Keys(1).titles) == redis.hlen(Keys(1).rows) == 9_001
    for key in [event.stream_id for event in story.events[1:]]:
        story.deleted(key)
    apply(view, story, batch=10_000)
    assert redis.zcard(Keys(1).titles) == redis.hlen(Keys(1).rows) == 0


def test_scripts_are_sent_again_to_a_server_that_forgot_them(redis, view):
    story = movies(2)
    view.apply(story.events[:1], 0)
    redis.script_flush()
    assert view.apply(story.events[1:], 1) == 3


def test_a_generation_that_is_gone_takes_nothing(redis, view):
    """Whoever applied to it must look for another."""
    story = movies(1)
    redis.flushall()
    assert view.apply(story.events, 0) is None
    assert view.checkpoint() is None
    assert redis.keys("*") == []


def test_a_retired_generation_takes_nothing(redis, view):
    """A switch to another generation stops those that still write to the old one."""
    redis.hset(view.keys.state, "state", "retired")
    assert view.apply(movies(1).events, 0) is None
    assert view.checkpoint() is None


def test_usernames_come_from_the_generation(redis, view):
    """A view that did not apply the registration finds the name that another one stored."""
    story = Story()
    by = story.account("Zoë")
    view.apply(story.events, 0)
    key = story.created(by)
    GenerationWriter(redis, 1).apply(story.events[1:], 1)
    assert b'"creator":"Zo\xc3\xab"' in redis.hget(Keys(1).rows, key)


def test_only_the_live_generation_publishes(redis):
    """Who waits for a position must not be woken by a list that nobody is shown yet."""
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


def test_refused_events_apply_nothing_unless_they_are_parked(redis, view):
    """Parking puts the movie aside with position, type and error; all others flow."""
    story = movies(2)
    poison = story.created("nobody")
    story.updated(poison, title="x")
    with pytest.raises(EventsNotApplicableError) as refused:
        view.apply(story.events, 0)
    assert set(refused.value.refused) == {poison}
    assert view.checkpoint() == 0
    assert view.apply(story.events, 0, park=True) == 5
    assert view.read_state().events == 3
    parked = redis.hgetall(Keys(1).parked)
    assert list(parked) == [poison.encode()]
    why = orjson.loads(parked[poison.encode()])
    assert (why["position"], why["type"]) == (4, "MovieCreated")


def test_parked_movies_stay_aside_for_every_view(redis, view):
    """Also for one that takes over later, and for one that was overtaken."""
    story = movies(1)
    poison = story.created("nobody")
    overtaken = GenerationWriter(redis, 1)
    assert overtaken.apply(story.events[:1], 0) == 1
    assert view.checkpoint() == 1
    view.apply(story.events[1:], 1, park=True)
    story.updated(poison, title="x")
    assert overtaken.apply(story.events[1:2], 1) == 3
    assert overtaken.apply(story.events[3:], 3) == 4
    story.deleted(poison)
    assert GenerationWriter(redis, 1).apply(story.events[4:], 4) == 5
    assert view.read_state()[:4] == (5, 2, story.events[-1].data["timestamp"], "building")
    assert view.read_state().parked == 1


def test_generations_do_not_touch_each_other(redis):
    """A new one is built beside the live one by the same code."""
    story = movies(5)
    old = shown(redis, story)
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
