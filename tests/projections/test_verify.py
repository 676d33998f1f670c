"""Verify finds exactly the differences from the log, even during writes."""

import itertools

import pytest

from commands.errors import ReadModelUnavailableError
from projections.keys import Keys
from projections.rebuild import diff
from projections.rebuild import replay as filling
from projections.rebuild.parked import discard
from projections.rebuild.verify import verify
from tests.controls import ANN, BOB, create, delete, new_id, revert, update
from tests.library import caught_up, kept, library, live, replayed, spoil, write
from tests.projections.faulty import Between


@pytest.fixture
def books(sqlite_store, redis):
    books = library(sqlite_store)
    books.expected = replayed(sqlite_store, redis)
    caught_up(sqlite_store, redis)
    books.keys = live(redis).keys
    books.some = str(books.ids[3])
    return books


def found(verified):
    return {(one.key, one.field): (one.wanted, one.shown) for one in verified.diff.first}


def test_nothing_differs(store, redis):
    """All fields and members of all keys are compared; the generation may be behind."""
    library(store)
    expected = replayed(store, redis)
    caught_up(store, redis)
    write(store, create(by=ANN))
    told = []
    verified = verify(store, redis, advance=lambda *step: told.append(step))
    assert not verified.diff.counts
    assert (verified.position, verified.compared) == (int(expected["head"][b"position"]), 23)
    assert told[-1] == (23, 23)
    assert kept(redis) == expected


MARK = '{"position":1,"type":"x","error":"x"}'
# What is done to the live generation (SOME is a movie), and the keys in which it is found.
SPOILT = {
    "a row": (["HSET rows SOME x"], {"rows"}),
    "a year": (["ZADD years 1 SOME"], {"years"}),
    "a place": (["ZADD created 1 SOME"], {"created"}),
    "an account": ([f"HSET users {ANN} x"], {"users"}),
    "a number": (["HSET head events 3"], {"head"}),
    "a wrong count": (["HSET head rows 9"], {"head"}),
    "a lost number": (["HDEL head mends"], {"head"}),
    "numbers that are none": (["HSET head mends x dropped x events x gone x"], {"head"}),
    "a lost row": (["HDEL rows SOME"], {"rows", "head"}),
    "a lost key": (["DEL titles"], {"titles", "head"}),
    "a lost movie": (
        ["HDEL rows SOME", "ZREM created SOME", "ZREM years SOME"],
        {"rows", "created", "years", "head"},
    ),
    "a stranger": (["HSET rows x y"], {"rows", "head"}),
    "a title too many": (["ZADD titles 0 x\0SOME"], {"titles", "head"}),
    "a deleted one too many": (["HSET gone SOME {}"], {"gone", "head"}),
    "another in its place": (["ZREM years SOME", "ZADD years 1 other"], {"years"}),
    "a mark": ([f"HSET parked SOME {MARK}"], {"parked", "head"}),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_difference_is_found_and_repaired(sqlite_store, redis, books, what):
    """No other field is reported or changed."""
    commands, where = SPOILT[what]
    for command in commands:
        name, key, *args = command.replace("SOME", books.some).split()
        redis.execute_command(name, books.keys.named(key), *args)
    assert set(verify(sqlite_store, redis).diff.counts) == where
    assert set(verify(sqlite_store, redis, repair=True).diff.counts) == where
    assert not verify(sqlite_store, redis).diff.counts
    assert kept(redis) == books.expected


def test_a_difference_has_both_values(sqlite_store, redis, books):
    redis.zadd(books.keys.years, {books.some: 1})
    assert found(verify(sqlite_store, redis)) == {("years", books.some.encode()): (1982.0, 1.0)}


def test_many_differences(sqlite_store, redis, books, monkeypatch):
    """All are counted and repaired, in several pauses and buckets; the first are reported."""
    monkeypatch.setattr(diff, "MAX_REPORTED", 5)
    monkeypatch.setattr(diff, "_MAX_HASHES", 3)
    monkeypatch.setattr("projections.rebuild.verify._REPAIRED_AT_ONCE", 3)
    monkeypatch.setattr(filling, "BATCH", 4)
    write(sqlite_store, *(create(by=ANN) for _ in range(20)))
    caught_up(sqlite_store, redis)
    redis.delete(books.keys.created, books.keys.years)
    redis.zadd(books.keys.created, {f"{number:036}": 1 for number in range(25)})
    redis.zadd(books.keys.years, {f"{number:036}": 1 for number in range(25)})
    verified = verify(sqlite_store, redis, repair=True)
    assert verified.diff.counts == {"created": 50, "years": 50}
    assert len(verified.diff.first) == 5
    assert kept(redis) == replayed(sqlite_store, redis)


def busy(movie):
    """Commands of all kinds without end."""
    yield create(movie, by=ANN)
    while True:
        yield update(movie, by=ANN, title=str(new_id()))
        yield delete(movie, by=ANN)
        yield revert(movie, by=ANN, version=1)
        yield create(by=ANN, year=1900)


def test_no_false_alarm(sqlite_store, redis, books, monkeypatch):
    """Between any two steps, events of all kinds are appended and applied."""
    monkeypatch.setattr(filling, "BATCH", 4)
    redis.zadd(books.keys.years, {books.some: 1})
    commands = busy(new_id())
    subscription = caught_up(sqlite_store, redis)
    before = sqlite_store.head()

    def meanwhile():
        write(sqlite_store, next(commands))
        subscription.process_batch()

    verified = verify(sqlite_store, Between(redis, meanwhile))
    assert sqlite_store.head() > before + 20
    assert set(found(verified)) == {("years", books.some.encode())}
    verify(sqlite_store, Between(redis, meanwhile), repair=True)
    caught_up(sqlite_store, redis)
    assert kept(redis) == replayed(sqlite_store, redis)


def test_a_repair_deletes_cached_filter_results(sqlite_store, redis, books):
    """They may contain the difference."""
    redis.lpush(books.keys.cached_results, "{movies:1}:found:x:1")
    redis.set("{movies:1}:found:x:1:scan", "done")
    redis.zadd(books.keys.years, {books.some: 1})
    verify(sqlite_store, redis, repair=True)
    assert not redis.exists(books.keys.cached_results, "{movies:1}:found:x:1:scan")


@pytest.mark.parametrize("at", range(1, 10))
def test_a_repair_between_two_steps_of_a_projection(sqlite_store, redis, books, at):
    """It does not write back the state that it read before."""
    line = redis.hget(books.keys.rows, books.some)
    redis.hset(books.keys.rows, books.some, line.replace(b"Alien", b"Algae"))
    write(sqlite_store, update(books.ids[3], by=BOB, year=2001))
    calls = itertools.count(1)

    def meanwhile():
        if next(calls) == at:
            verify(sqlite_store, redis, repair=True)

    caught_up(sqlite_store, Between(redis, meanwhile))
    verify(sqlite_store, redis, repair=next(calls) <= at)
    assert kept(redis) == replayed(sqlite_store, redis)


def test_a_discarded_movie_is_no_difference(sqlite_store, redis, books, tmp_path):
    """Nor is it repaired."""
    spoil(tmp_path / "events.db", books.changed, version=2)
    redis.flushall()
    caught_up(sqlite_store, redis)
    assert not verify(sqlite_store, redis).diff.counts
    assert discard(live(redis), books.changed)
    before = kept(redis)
    assert not verify(sqlite_store, redis, repair=True).diff.counts
    assert kept(redis) == before


@pytest.fixture
def dropped(sqlite_store, redis, books, tmp_path):
    """A read model with a discarded movie; ``row`` is its encoded row before."""
    spoil(tmp_path / "events.db", books.changed, version=2)
    redis.flushall()
    caught_up(sqlite_store, redis)
    books.row = redis.hget(books.keys.rows, books.changed)
    assert discard(live(redis), books.changed)
    return books


def test_a_discarded_movie_that_was_put_back(sqlite_store, redis, dropped):
    """It is found and removed everywhere."""
    before = kept(redis)
    keys = dropped.keys
    redis.hset(keys.rows, dropped.changed, dropped.row)
    redis.zadd(keys.created, {dropped.changed: 1})
    redis.zadd(keys.years, {dropped.changed: 1979})
    redis.zadd(keys.titles, {f"alien 0\0{dropped.changed}": 0})
    redis.hincrby(keys.state, "rows", 1)
    assert live(redis).read_state().state == "live"
    wrong = {"rows": 1, "created": 1, "years": 1, "titles": 1}
    assert verify(sqlite_store, redis).diff.counts == wrong
    assert verify(sqlite_store, redis, repair=True).diff.counts == wrong
    assert kept(redis) == before


@pytest.mark.parametrize("counted", [False, True])
def test_a_forged_mark_is_a_difference(sqlite_store, redis, books, counted):
    """A mark counts only if the log has an event that cannot be applied."""
    keys = books.keys
    redis.hset(keys.parked, books.some, MARK[:-1] + ',"dropped":true}')
    redis.hincrby(keys.state, "parked", 1)
    redis.hincrby(keys.state, "dropped", int(counted))
    redis.hdel(keys.rows, books.some)
    redis.zrem(keys.created, books.some)
    redis.zrem(keys.years, books.some)
    redis.zrem(
        keys.titles, next(m for m in redis.zrange(keys.titles, 0, -1) if books.some.encode() in m)
    )
    redis.hincrby(keys.state, "rows", -1)
    assert live(redis).read_state().state == "live"
    wrong = {"rows", "created", "years", "titles", "parked"} | ({"head"} if not counted else set())
    assert set(verify(sqlite_store, redis).diff.counts) == wrong
    assert set(verify(sqlite_store, redis, repair=True).diff.counts) == wrong
    assert not verify(sqlite_store, redis).diff.counts
    assert kept(redis) == books.expected


def test_events_are_counted_beside_a_discarded_movie(sqlite_store, redis, dropped):
    redis.hset(dropped.keys.state, "events", 3)
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"head": 1}
    assert not verify(sqlite_store, redis).diff.counts


def test_a_generation_of_another_log_cannot_be_repaired(sqlite_store, redis, books):
    redis.hset(books.keys.state, "last", "another:1")
    before = kept(redis)
    verified = verify(sqlite_store, redis, repair=True)
    assert verified.foreign
    assert verified.diff.counts == {"head": 1}
    assert kept(redis) == before


@pytest.mark.parametrize("state", ["none", "lost head", "retired"])
def test_there_must_be_a_live_one(sqlite_store, redis, books, state):
    if state == "none":
        redis.flushall()
    elif state == "lost head":
        redis.delete(books.keys.state)
    else:
        redis.hset(Keys(1).state, "state", "retired")
    with pytest.raises(ReadModelUnavailableError):
        verify(sqlite_store, redis)
