"""A rebuild replaces the live generation; readers see only corrected differences."""

import time

import pytest

from commands.errors import ReadModelUnavailableError, RebuildRunningError
from projections.follow.lease import Lease
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.state import LIVE
from projections.generation.writer import GenerationWriter
from projections.keys import REBUILD_PROGRESS, REBUILDING
from projections.rebuild.parallel_replay import ReplayWorkers
from projections.rebuild.progress import running_rebuild
from projections.rebuild.rebuild import rebuild
from projections.rebuild.replay import replay
from tests.controls import ANN, create, new_id, update
from tests.library import (
    catch_up,
    caught_up,
    corrupt_event,
    expected_contents,
    generation_contents,
    library,
    live,
    repair_event,
    write,
)
from tests.projections.faulty import Between, every_death

LEFT = {b"movies:live", b"movies:generations", b"movies:read-model"}


@pytest.fixture
def books(sqlite_store, redis):
    """A log with all kinds of events, and its read model."""
    books = library(sqlite_store)
    books.expected = expected_contents(sqlite_store, redis)
    caught_up(sqlite_store, redis)
    return books


def other_keys(redis):
    """Return all keys but those of the live generation."""
    prefix = b"{movies:%d}:" % (lifecycle.live_number(redis) or 0)
    return {key for key in redis.keys("*") if not key.startswith(prefix)}


def test_a_rebuild_replaces_the_live_generation(sqlite_store, redis, books):
    """The previous one is dropped, and no other key is left."""
    steps = []
    built = rebuild(sqlite_store, redis, advance=lambda *step: steps.append(step))
    assert (built.generation, built.position) == (2, sqlite_store.head())
    assert (built.events, built.movies, built.parked) == (sqlite_store.count(), 5, 0)
    assert not built.diff.counts
    assert built.compared == 5 + 2 + 1
    assert ("rebuild", sqlite_store.count(), sqlite_store.count()) in steps
    assert steps[-1] == ("compare", built.compared, built.compared)
    assert generation_contents(redis) == books.expected
    assert other_keys(redis) == LEFT


def test_all_see_how_far_a_rebuild_is(sqlite_store, redis, books):
    """While it runs, and no longer."""
    seen = []
    rebuild(sqlite_store, redis, advance=lambda *_: seen.append(running_rebuild(redis)))
    assert {one.phase for one in seen} == {"rebuild", "compare"}
    assert seen[0] == ("rebuild", seen[0].done, sqlite_store.count())
    assert running_rebuild(redis) is None


@pytest.mark.parametrize("text", ["", "x", "[]", '{"phase": "rebuild"}', '{"a": 1}'])
def test_progress_that_cannot_be_read_is_none(redis, text):
    redis.set(REBUILD_PROGRESS, text)
    assert running_rebuild(redis) is None
    redis.delete(REBUILD_PROGRESS)
    redis.hset(REBUILD_PROGRESS, "phase", "x")
    assert running_rebuild(redis) is None


def test_a_large_generation_is_removed_in_steps(sqlite_store, redis, removed_in_steps, books):
    """Each step is reported."""
    write(sqlite_store, *(create(by=ANN) for _ in range(60)))
    caught_up(sqlite_store, redis)
    steps = []
    rebuild(sqlite_store, redis, advance=lambda *step: steps.append(step))
    assert steps[-1][0] == "drop"
    assert steps[-1][1] > 5
    assert other_keys(redis) == LEFT
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_nothing_is_compared_without_a_live_generation(sqlite_store, redis, books):
    redis.flushall()
    built = rebuild(sqlite_store, redis)
    assert (built.compared, built.diff.counts) == (0, {})
    assert generation_contents(redis) == books.expected


def test_differences_are_reported(sqlite_store, redis, books):
    """They concern rows, deleted movies and counts; the new generation is correct."""
    keys = live(redis).keys
    one, other = (str(books.ids[number]) for number in (3, 4))
    line = redis.hget(keys.rows, one)
    redis.hset(keys.rows, one, line.replace(b"Alien", b"Algae"))
    redis.hdel(keys.rows, other)
    redis.hset(keys.rows, "stranger", "x")
    redis.hset(keys.deleted, books.deleted, "{}")
    redis.hset(keys.state, "events", 1)
    built = rebuild(sqlite_store, redis)
    found = {(one.key, one.field): one.shown for one in built.diff.first}
    assert found == {
        ("rows", one.encode()): line.replace(b"Alien", b"Algae"),
        ("rows", other.encode()): None,
        ("rows", b"stranger"): b"x",
        ("gone", books.deleted.encode()): b"{}",
        ("head", b"events"): 1,
    }
    assert built.diff.counts == {"rows": 3, "gone": 1, "head": 1}
    assert generation_contents(redis) == books.expected


@pytest.mark.parametrize("lost", ["rows", "gone", "users"])
def test_a_damaged_generation_is_compared(sqlite_store, redis, books, lost):
    redis.delete(live(redis).keys.named(lost))
    built = rebuild(sqlite_store, redis)
    assert set(built.diff.counts) == {lost}
    assert generation_contents(redis) == books.expected


def test_a_generation_of_another_log_is_not_compared(sqlite_store, redis, books):
    redis.hset(live(redis).keys.state, "last", "another:1")
    built = rebuild(sqlite_store, redis)
    assert built.compared == 0
    assert generation_contents(redis) == books.expected


def test_a_generation_behind_the_log_is_compared_at_its_position(sqlite_store, redis, books):
    """No projection runs; the new one has all events."""
    write(sqlite_store, *(create(by=ANN) for _ in range(3)))
    built = rebuild(sqlite_store, redis)
    assert built.compared
    assert not built.diff.counts
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_events_during_a_rebuild_are_no_differences(sqlite_store, redis, books):
    """Between any two steps a client writes, and the projection applies it."""
    projection = Subscription(sqlite_store, redis)

    def busy(*_):
        write(sqlite_store, create(by=ANN), update(books.changed, by=ANN, title=str(new_id())))
        catch_up(projection)

    def slowly(*args):
        for step in replay(*args):
            busy()
            yield step

    built = rebuild(sqlite_store, redis, replay=slowly, advance=busy)
    assert built.compared
    assert not built.diff.counts
    catch_up(projection)
    assert built.position == sqlite_store.head()
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_readers_see_no_gap_and_no_earlier_position(sqlite_store, redis, books):
    """Between any two steps of the rebuild a client writes, a projection runs and readers read."""
    reader, seen = Reader(redis), [0]

    def read():
        for one in (Reader(redis), reader):  # a new reader must not see more than an old one
            seen.append(one.position())
            assert seen[-1] >= seen[-2]

    def meanwhile():
        read()
        write(sqlite_store, create(by=ANN))
        subscription.process_batch()
        read()

    subscription = caught_up(sqlite_store, Between(redis, read))

    built = rebuild(sqlite_store, Between(redis, meanwhile))
    assert not built.diff.counts
    assert reader.known == built.generation
    assert len(set(seen)) > 40
    caught_up(sqlite_store, redis)
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


class Reader:
    """Reads like queries: the generation that it knows, then the live one."""

    def __init__(self, redis):
        self.redis, self.known = redis, None

    def position(self):
        for _ in range(2):
            self.known = self.known or lifecycle.live_number(self.redis)
            head = GenerationWriter(self.redis, self.known).read_state() if self.known else None
            if head is not None and head.state == LIVE:
                return head.position
            self.known = None
        raise AssertionError("no generation is live")


def test_a_killed_rebuild_leaves_the_live_generation(sqlite_store, redis, books):
    """It may die at any call to Redis; the next rebuild removes the remains."""
    deaths = 0

    def run(dying):
        rebuild(sqlite_store, dying)

    for died in every_death(redis, run):
        deaths += died
        assert generation_contents(redis) == books.expected
        redis.delete(REBUILDING)  # the lease of a dead process is ignored
        redis.hdel(live(redis).keys.state, "hold")
        assert not rebuild(sqlite_store, redis).diff.counts
        assert generation_contents(redis) == books.expected
        assert other_keys(redis) == LEFT
    assert deaths > 60


def test_the_pause_of_a_killed_rebuild_expires(sqlite_store, redis, books):
    with pause(live(redis), 200):
        write(sqlite_store, create(by=ANN))
        redis.hset("copy", mapping=redis.hgetall(live(redis).keys.state))
    redis.copy("copy", live(redis).keys.state, replace=True)
    started = time.monotonic()
    caught_up(sqlite_store, redis)
    assert 0.05 < time.monotonic() - started < 2


def test_only_one_rebuild_at_a_time(sqlite_store, redis, books):
    other = Lease(redis, key=REBUILDING)
    assert other.acquire_or_renew()
    with pytest.raises(RebuildRunningError):
        rebuild(sqlite_store, redis)
    other.release()
    rebuild(sqlite_store, redis)


def test_a_wipe_during_a_rebuild_fails_it(sqlite_store, redis, books):
    """The projection then builds a generation."""

    def wiped(*args):
        for step in replay(*args):
            redis.flushall()
            yield step

    with pytest.raises(ReadModelUnavailableError):
        rebuild(sqlite_store, redis, replay=wiped)
    caught_up(sqlite_store, redis)
    assert generation_contents(redis) == books.expected
    assert other_keys(redis) == LEFT


def test_a_newer_live_generation_fails_a_rebuild(sqlite_store, redis, books):
    """Another rebuild succeeds."""
    redis.flushall()

    def overtaken(*args):
        yield from replay(*args)
        caught_up(sqlite_store, redis)

    with pytest.raises(ReadModelUnavailableError):  # its generation is older, and dropped
        rebuild(sqlite_store, redis, replay=overtaken)
    assert generation_contents(redis) == books.expected
    assert not rebuild(sqlite_store, redis).diff.counts


def test_a_projection_that_was_building_follows_the_rebuilt_generation(sqlite_store, redis, books):
    """Its unfinished generation is dropped."""
    redis.flushall()
    subscription = Subscription(sqlite_store, redis, limit=3)
    assert not subscription.process_batch()
    built = rebuild(sqlite_store, redis)
    while not subscription.process_batch():
        pass
    assert lifecycle.live_number(redis) == built.generation
    assert generation_contents(redis) == books.expected
    assert other_keys(redis) == LEFT


def test_a_rebuild_retries_parked_movies(sqlite_store, redis, tmp_path):
    """A movie that is no longer parked is no difference."""
    books = library(sqlite_store)
    expected = expected_contents(sqlite_store, redis)
    corrupt_event(tmp_path / "events.db", books.changed, version=2)
    caught_up(sqlite_store, redis)
    still = rebuild(sqlite_store, redis)
    assert (still.parked, still.diff.counts) == (1, {})
    repair_event(tmp_path / "events.db", books.changed, version=2)
    built = rebuild(sqlite_store, redis)
    assert (built.parked, built.diff.counts) == (0, {})
    assert generation_contents(redis) == expected


def test_parallel_workers_build_the_same_generation(sqlite_store, redis, books, valkey, tmp_path):
    workers = ReplayWorkers(2, f"sqlite:///{tmp_path}/events.db", valkey.url)
    assert not rebuild(sqlite_store, redis, replay=workers.replay).diff.counts
    assert generation_contents(redis) == books.expected
