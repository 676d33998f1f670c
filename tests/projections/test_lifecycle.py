"""Generations begin, go live and are dropped."""

from projections.generation import lifecycle
from projections.generation.writer import GenerationWriter
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
