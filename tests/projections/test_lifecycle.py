"""Generations begin, go live and are dropped."""

import pytest

from projections.generation import lifecycle
from projections.generation.writer import GenerationWriter
from projections.keys import BUILDING, DROPPED, GENERATIONS, LIVE, POSITION, Keys
from tests.read_side import Story, make_live


def test_an_unfinished_generation_is_continued(redis):
    """A restarted projection does not begin from nothing."""
    story = Story()
    story.account()
    writer = lifecycle.begin(redis)
    writer.apply(story.events, 0)
    again = lifecycle.begin(redis)
    assert (again.number, again.checkpoint()) == (writer.number, 1)


class Racing:
    """Another projection begins just before this client sets the pointer."""

    def __init__(self, redis):
        self._redis = redis
        self.theirs = None

    def execute_command(self, *args):
        if args[:2] == ("SET", "movies:building"):
            self.theirs = lifecycle.begin(self._redis)
        return self._redis.execute_command(*args)


def test_projections_that_begin_at_once_build_the_same_generation(redis):
    """The second one joins the first."""
    racing = Racing(redis)
    mine = lifecycle.begin(racing)
    assert mine.number == racing.theirs.number
    assert mine.checkpoint() == 0
    assert redis.get("movies:building") == b"%d" % mine.number


def test_the_next_generation_has_a_higher_number(redis):
    """Higher than all numbers known to Redis or the caller."""
    first = lifecycle.begin(redis)
    redis.delete(first.keys.state)
    second = lifecycle.begin(redis)
    assert second.number > first.number
    redis.flushall()
    assert lifecycle.begin(redis, above=second.number).number == second.number + 1


def test_going_live_shows_a_generation_and_drops_older_ones(redis):
    old = make_live(redis, Story())
    new = GenerationWriter(redis, old.number + 1)
    new.create()
    redis.sadd("movies:generations", new.number)
    assert lifecycle.go_live(redis, new)
    assert lifecycle.live_number(redis) == new.number
    assert redis.smembers("movies:generations") == {b"%d" % new.number}
    assert not redis.exists(old.keys.state)


def test_a_deleted_generation_does_not_go_live(redis):
    """A wipe just before the switch must not leave a pointer to nothing."""
    writer = lifecycle.begin(redis)
    redis.flushall()
    assert not lifecycle.go_live(redis, writer)
    assert redis.keys("*") == []


def test_a_generation_goes_live_only_instead_of_the_expected_one(redis):
    """Another process may have shown one meanwhile."""
    old = make_live(redis, Story())
    new = lifecycle.new(redis)
    assert not lifecycle.go_live(redis, new, instead_of=0)
    assert not lifecycle.go_live(redis, new, instead_of=old.number + 5)
    assert lifecycle.live_number(redis) == old.number
    assert redis.exists(old.keys.state)
    assert lifecycle.go_live(redis, new, instead_of=old.number)
    assert lifecycle.live_number(redis) == new.number


def test_a_generation_does_not_go_live_too_late(redis):
    """The pause of the one before is over, and it may have gone on."""
    new = lifecycle.new(redis)
    seconds, micros = redis.time()
    now_ms = seconds * 1000 + micros // 1000
    assert not lifecycle.go_live(redis, new, before_ms=now_ms - 1)
    assert lifecycle.live_number(redis) is None
    assert lifecycle.go_live(redis, new, before_ms=now_ms + 60_000)


def test_readers_are_told_the_position_of_a_generation_that_goes_live(redis):
    story = Story()
    story.account()
    with redis.pubsub(ignore_subscribe_messages=True) as told:
        told.subscribe(POSITION)
        told.get_message(timeout=1)
        live = make_live(redis, story)
        message = told.get_message(timeout=1)
    assert message["data"] == f"{live.number}:1".encode()


def test_going_live_ends_the_building_of_another_generation(redis):
    """It leaves those alone whose numbers are higher: another process builds them."""
    older, building = lifecycle.new(redis), lifecycle.begin(redis)
    live, newer = lifecycle.new(redis), lifecycle.new(redis)
    assert lifecycle.go_live(redis, live)
    assert redis.smembers(GENERATIONS) == {b"%d" % live.number, b"%d" % newer.number}
    assert not redis.exists(older.keys.state, building.keys.state, BUILDING)
    assert redis.exists(newer.keys.state)


def test_a_generation_that_goes_live_is_not_being_built_any_more(redis):
    writer = lifecycle.begin(redis)
    assert lifecycle.go_live(redis, writer)
    assert not redis.exists(BUILDING)
    assert redis.exists(writer.keys.state)
    assert redis.smembers(GENERATIONS) == {b"%d" % writer.number}


def test_leftovers_are_neither_live_nor_being_built(redis):
    live, building = make_live(redis, Story()), lifecycle.begin(redis)
    left = lifecycle.new(redis)
    lifecycle.drop_leftovers(redis)
    assert redis.exists(live.keys.state, building.keys.state) == 2
    assert not redis.exists(left.keys.state)


def test_all_keys_of_a_dropped_generation_go_in_the_end(redis, removed_in_steps):
    """Also those that earlier releases made. It is hidden at once."""
    writer = lifecycle.new(redis)
    names = ("rows", "gone", "users", "created", "years", "titles", "kept")
    for name in names:
        redis.hset(writer.keys.named(name), mapping={str(field): "x" for field in range(50)})
    lifecycle.drop(redis, writer.number)
    assert redis.smembers(GENERATIONS) == set()
    assert not redis.exists(writer.keys.state)
    assert redis.smembers(DROPPED) == {b"%d" % writer.number}
    steps = len(list(lifecycle.sweep(redis)))
    assert steps >= len(names)
    assert redis.keys("*") == []


def test_numbers_that_are_being_removed_are_not_used_again(redis):
    redis.sadd(DROPPED, 7)
    assert lifecycle.new(redis).number == 8
    assert lifecycle.new(redis, above=9).number == 10


def test_a_number_taken_at_the_same_moment_is_not_used(redis):
    class Taken:
        def __init__(self):
            self.first = True

        def execute_command(self, *args):
            if args[0] == "SADD" and self.first:
                self.first = False
                redis.sadd(GENERATIONS, args[2])
            return redis.execute_command(*args)

        def __getattr__(self, name):
            return getattr(redis, name)

    assert lifecycle.new(Taken()).number == 2


@pytest.mark.parametrize("junk", [b"x", b"", b"-", b"0", b"1.5"])
def test_junk_among_the_numbers_is_removed(redis, junk):
    redis.sadd(GENERATIONS, junk, 3)
    redis.sadd(DROPPED, junk)
    redis.set(LIVE, junk)
    redis.set(BUILDING, junk)
    assert lifecycle.live_number(redis) is None
    assert lifecycle.begin(redis).number == 4
    assert list(lifecycle.sweep(redis)) == []
    assert redis.smembers(GENERATIONS) == {b"3", b"4"}
    assert not redis.exists(DROPPED)


def test_keys_of_another_type_are_replaced(redis):
    for key in (LIVE, BUILDING):
        redis.sadd(key, 5)
    for key in (GENERATIONS, DROPPED):
        redis.set(key, 5)
    assert lifecycle.live_number(redis) is None
    writer = lifecycle.begin(redis)
    assert writer.number == 1
    assert redis.get(BUILDING) == b"1"
    assert redis.smembers(GENERATIONS) == {b"1"}


def test_a_list_at_a_point_in_time_is_swept_by_its_negative_number(redis):
    redis.sadd(DROPPED, -3)
    redis.hset(Keys(-3).rows, "row", "x")
    assert list(lifecycle.sweep(redis)) == []
    assert redis.keys("*") == []


def test_an_unfinished_generation_below_the_floor_is_left(redis):
    """A Redis in an older state left it behind."""
    first = lifecycle.begin(redis)
    assert lifecycle.begin(redis, floor=first.number).number == first.number
    assert lifecycle.begin(redis, floor=first.number + 1).number == first.number + 1
    assert lifecycle.begin(redis, floor=5, above=5).number == 6
