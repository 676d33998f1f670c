"""A rebuild puts a new generation in the place of the live one; nobody notices but for what differs."""

import time

import pytest

from commands.errors import ReadModelUnavailableError, RebuildRunningError
from projections.follow.lease import Lease
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.state import LIVE
from projections.generation.writer import GenerationWriter
from projections.keys import REBUILDING
from projections.rebuild.rebuild import rebuild
from projections.rebuild.replay import ReplayWorkers, replay
from tests.controls import ANN, create, new_id, update
from tests.library import catch_up, caught_up, heal, kept, library, live, replayed, spoil, write
from tests.projections.faulty import Between, every_death

LEFT = {b"movies:live", b"movies:generations"}


@pytest.fixture
def books(sqlite_store, redis):
    """A log with something of everything, and the list of it."""
    books = library(sqlite_store)
    books.expected = replayed(sqlite_store, redis)
    caught_up(sqlite_store, redis)
    return books


def keys_of(redis):
    """Every key there is, but for those of the live generation."""
    prefix = b"{movies:%d}:" % (lifecycle.live_number(redis) or 0)
    return {key for key in redis.keys("*") if not key.startswith(prefix)}


def test_the_new_one_is_as_the_old_one(sqlite_store, redis, books):
    """It is live, the old one is dropped, and nothing else stays behind."""
    told = []
    built = rebuild(sqlite_store, redis, advance=lambda *step: told.append(step))
    assert (built.generation, built.position) == (2, sqlite_store.head())
    assert (built.events, built.movies, built.parked) == (sqlite_store.count(), 5, 0)
    assert not built.diff.counts
    assert built.compared == 5 * 4 + 2 + 1
    assert ("rebuild", sqlite_store.count(), sqlite_store.count()) in told
    assert told[-1] == ("compare", built.compared, built.compared)
    assert kept(redis) == books.expected
    assert keys_of(redis) == LEFT


def test_a_large_one_is_removed_piece_by_piece(sqlite_store, redis, books, monkeypatch):
    """To the end, and told step by step."""
    monkeypatch.setattr(lifecycle, "_STEPS_AT_ONCE", 1)
    monkeypatch.setattr(lifecycle, "SWEEP_STEP", 1)
    told = []
    rebuild(sqlite_store, redis, advance=lambda *step: told.append(step))
    assert told[-1][0] == "drop"
    assert told[-1][1] > 5
    assert kept(redis) == books.expected
    assert keys_of(redis) == LEFT


def test_without_a_live_one(sqlite_store, redis, books):
    """There is nothing to compare with."""
    redis.flushall()
    built = rebuild(sqlite_store, redis)
    assert (built.compared, built.diff.counts) == (0, {})
    assert kept(redis) == books.expected


def test_what_differed_is_told(sqlite_store, redis, books):
    """Row by row and index by index; the new one is as the log says."""
    keys = live(redis).keys
    one, other, third = (str(books.ids[number]) for number in (3, 4, 5))
    line = redis.hget(keys.rows, one)
    redis.hset(keys.rows, one, line.replace(b"Alien", b"Algae"))
    redis.zadd(keys.years, {other: 1})
    redis.zrem(keys.created, third)
    redis.zadd(keys.created, {"stranger": 1})
    redis.hset(keys.deleted, books.deleted, "{}")
    redis.hset(keys.state, "events", 1)
    built = rebuild(sqlite_store, redis)
    found = {(one.key, one.field): one.shown for one in built.diff.first}
    assert found == {
        ("rows", one.encode()): line.replace(b"Alien", b"Algae"),
        ("years", other.encode()): 1.0,
        ("created", third.encode()): None,
        ("created", b"stranger"): 1.0,
        ("gone", books.deleted.encode()): b"{}",
        ("head", b"events"): 1,
    }
    assert built.diff.counts == {"rows": 1, "years": 1, "created": 2, "gone": 1, "head": 1}
    assert kept(redis) == books.expected


@pytest.mark.parametrize("lost", ["rows", "created", "titles", "gone", "users"])
def test_a_damaged_one_is_compared_too(sqlite_store, redis, books, lost):
    redis.delete(live(redis).keys.named(lost))
    built = rebuild(sqlite_store, redis)
    assert set(built.diff.counts) == {lost}
    assert kept(redis) == books.expected


def test_one_of_another_log_is_replaced(sqlite_store, redis, books):
    """Comparing it would say nothing."""
    redis.hset(live(redis).keys.state, "last", "another:1")
    built = rebuild(sqlite_store, redis)
    assert built.compared == 0
    assert kept(redis) == books.expected


def test_one_that_nobody_follows_is_brought_along(sqlite_store, redis, books):
    """So that both can be compared at one position."""
    write(sqlite_store, *(create(by=ANN) for _ in range(3)))
    built = rebuild(sqlite_store, redis)
    assert built.compared
    assert not built.diff.counts
    assert kept(redis) == replayed(sqlite_store, redis)


def test_events_that_come_meanwhile(sqlite_store, redis, books):
    """Between any two steps someone writes, and the projection applies it: nothing differs."""
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
    assert kept(redis) == replayed(sqlite_store, redis)


def test_readers_see_no_hole_and_no_step_back(sqlite_store, redis, books):
    """Between any two steps of the rebuild someone writes, a projection works, and readers look."""
    reader, seen = Reader(redis), [0]

    def look():
        for one in (Reader(redis), reader):  # who comes new must not see more than who was here
            seen.append(one.position())
            assert seen[-1] >= seen[-2]

    def meanwhile():
        look()
        write(sqlite_store, create(by=ANN))
        tail.process_batch()
        look()

    tail = caught_up(sqlite_store, Between(redis, look))

    built = rebuild(sqlite_store, Between(redis, meanwhile))
    assert not built.diff.counts
    assert reader.known == built.generation
    assert len(set(seen)) > 40
    caught_up(sqlite_store, redis)
    assert kept(redis) == replayed(sqlite_store, redis)


class Reader:
    """Looks as queries do: at the generation that was live a moment ago, then at the one that is."""

    def __init__(self, redis):
        self.redis, self.known = redis, None

    def position(self):
        for _ in range(2):
            self.known = self.known or lifecycle.live_number(self.redis)
            head = GenerationWriter(self.redis, self.known).read_state() if self.known else None
            if head is not None and head.state == LIVE:
                return head.position
            self.known = None
        raise AssertionError("a hole")


def test_a_rebuild_that_dies_leaves_the_live_one_alone(sqlite_store, redis, books):
    """Wherever it dies; the next one clears up, and is not kept waiting."""
    lives = 0

    def run(dying):
        rebuild(sqlite_store, dying)

    for died in every_death(redis, run):
        lives += died
        assert kept(redis) == books.expected
        redis.delete(REBUILDING)  # as a lease of a dead process counts for nothing
        redis.hdel(live(redis).keys.state, "hold")
        assert not rebuild(sqlite_store, redis).diff.counts
        assert kept(redis) == books.expected
        assert keys_of(redis) == LEFT
    assert lives > 60


def test_a_hold_whose_rebuild_died_ends(sqlite_store, redis, books):
    """The projection goes on by itself."""
    with pause(live(redis), 200):
        write(sqlite_store, create(by=ANN))
        redis.hset("copy", mapping=redis.hgetall(live(redis).keys.state))
    redis.copy("copy", live(redis).keys.state, replace=True)
    started = time.monotonic()
    caught_up(sqlite_store, redis)
    assert 0.05 < time.monotonic() - started < 2


def test_one_rebuild_at_a_time(sqlite_store, redis, books):
    other = Lease(redis, key=REBUILDING)
    assert other.acquire_or_renew()
    with pytest.raises(RebuildRunningError):
        rebuild(sqlite_store, redis)
    other.release()
    rebuild(sqlite_store, redis)


def test_a_redis_that_is_wiped_meanwhile(sqlite_store, redis, books):
    """The rebuild ends and says so; the projection builds what there is to show."""

    def wiped(*args):
        for step in replay(*args):
            redis.flushall()
            yield step

    with pytest.raises(ReadModelUnavailableError):
        rebuild(sqlite_store, redis, replay=wiped)
    caught_up(sqlite_store, redis)
    assert kept(redis) == books.expected
    assert keys_of(redis) == LEFT


def test_a_projection_that_goes_live_meanwhile(sqlite_store, redis, books):
    """It was building, as none was live: then the rebuild takes the place of that one."""
    redis.flushall()

    def overtaken(*args):
        yield from replay(*args)
        caught_up(sqlite_store, redis)

    with pytest.raises(ReadModelUnavailableError):  # dropped, as it began earlier
        rebuild(sqlite_store, redis, replay=overtaken)
    assert kept(redis) == books.expected
    assert not rebuild(sqlite_store, redis).diff.counts


def test_a_projection_that_was_building_follows_the_new_one(sqlite_store, redis, books):
    """And what it had begun is dropped."""
    redis.flushall()
    tail = Subscription(sqlite_store, redis, limit=3)
    assert not tail.process_batch()
    built = rebuild(sqlite_store, redis)
    while not tail.process_batch():
        pass
    assert lifecycle.live_number(redis) == built.generation
    assert kept(redis) == books.expected
    assert keys_of(redis) == LEFT


def test_it_takes_up_what_was_parked(sqlite_store, redis, tmp_path):
    """A release that can apply the event shows the movie again, and that is no drift."""
    books = library(sqlite_store)
    expected = replayed(sqlite_store, redis)
    spoil(tmp_path / "events.db", books.changed, version=2)
    caught_up(sqlite_store, redis)
    still = rebuild(sqlite_store, redis)
    assert (still.parked, still.diff.counts) == (1, {})
    heal(tmp_path / "events.db", books.changed, version=2)
    built = rebuild(sqlite_store, redis)
    assert (built.parked, built.diff.counts) == (0, {})
    assert kept(redis) == expected


def test_several_processes(sqlite_store, redis, books, valkey, tmp_path):
    workers = ReplayWorkers(2, f"sqlite:///{tmp_path}/events.db", valkey.url)
    assert not rebuild(sqlite_store, redis, replay=workers.replay).diff.counts
    assert kept(redis) == books.expected
