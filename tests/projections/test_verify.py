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
from tests.library import (
    caught_up,
    corrupt_event,
    expected_contents,
    generation_contents,
    library,
    live,
    write,
)
from tests.projections.faulty import Between


@pytest.fixture
def books(sqlite_store, redis):
    books = library(sqlite_store)
    books.expected = expected_contents(sqlite_store, redis)
    caught_up(sqlite_store, redis)
    books.keys = live(redis).keys
    books.some = str(books.ids[3])
    books.day = min(redis.hkeys(books.keys.days)).decode()[:10]
    return books


def found_values(verified):
    return {(one.key, one.field): (one.wanted, one.shown) for one in verified.diff.first}


def test_a_correct_generation_has_no_differences(store, redis):
    """All fields and members are compared; the generation may be behind the log."""
    library(store)
    expected = expected_contents(store, redis)
    caught_up(store, redis)
    write(store, create(by=ANN))
    steps = []
    verified = verify(store, redis, advance=lambda *step: steps.append(step))
    assert not verified.diff.counts
    assert (verified.position, verified.compared) == (int(expected["head"][b"position"]), 8)
    assert steps[-1] == (8, 8)
    assert generation_contents(redis) == expected


MARK = '{"position":1,"type":"x","error":"x"}'
# Commands on the live generation (SOME is a movie), and the keys of the differences.
CORRUPTIONS = {
    "a row": (["HSET rows SOME x"], {"rows"}),
    "an account": ([f"HSET users {ANN} x"], {"users"}),
    "a number": (["HSET head events 3"], {"head"}),
    "a wrong count": (["HSET head rows 9"], {"head"}),
    "a lost number": (["HDEL head mends"], {"head"}),
    "invalid numbers": (["HSET head mends x dropped x events x gone x"], {"head"}),
    "a lost row": (["HDEL rows SOME"], {"rows", "head"}),
    "a lost key": (["DEL users"], {"users", "head"}),
    "a stranger": (["HSET rows x y"], {"rows", "head"}),
    "an extra deleted movie": (["HSET gone SOME {}"], {"gone", "head"}),
    "another in its place": (["HDEL rows SOME", "HSET rows other x"], {"rows"}),
    "a wrong count of a day": (["HSET days DAY:MovieCreated 99"], {"days"}),
    "a count that is no number": (["HSET days DAY:MovieDeleted x"], {"days"}),
    "a stranger's count": (["HSET days 2020-01-01:MovieCreated 1"], {"days", "head"}),
    "a lost count": (["HDEL days DAY:MovieCreated"], {"days", "head"}),
    "a mark": ([f"HSET parked SOME {MARK}"], {"parked", "head"}),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_difference_is_found_and_repaired(sqlite_store, redis, books, corruption):
    """No other field is reported or changed."""
    commands, where = CORRUPTIONS[corruption]
    for command in commands:
        given = command.replace("SOME", books.some).replace("DAY", books.day)
        name, key, *args = given.split()
        redis.execute_command(name, books.keys.named(key), *args)
    assert set(verify(sqlite_store, redis).diff.counts) == where
    assert set(verify(sqlite_store, redis, repair=True).diff.counts) == where
    assert not verify(sqlite_store, redis).diff.counts
    assert generation_contents(redis) == books.expected


def test_a_difference_has_both_values(sqlite_store, redis, books):
    row = redis.hget(books.keys.rows, books.some)
    redis.hset(books.keys.rows, books.some, "x")
    assert found_values(verify(sqlite_store, redis)) == {("rows", books.some.encode()): (row, b"x")}


def test_a_record_that_does_not_fit_its_row_is_a_difference(sqlite_store, redis, books):
    """Lists would find the movie by what it is not."""
    row = redis.hget(books.keys.rows, books.some)
    redis.hset(books.keys.rows, books.some, row.replace(b"alien 3", b"algae 3"))
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"rows": 1}
    assert generation_contents(redis) == books.expected


def test_many_differences_are_counted_and_repaired(sqlite_store, redis, books, monkeypatch):
    """They are repaired in several pauses and buckets; only the first are reported."""
    monkeypatch.setattr(diff, "MAX_REPORTED", 5)
    monkeypatch.setattr(diff, "_MAX_HASHES", 3)
    monkeypatch.setattr("projections.rebuild.verify._REPAIRED_AT_ONCE", 3)
    monkeypatch.setattr(filling, "BATCH", 4)
    write(sqlite_store, *(create(by=ANN) for _ in range(20)))
    caught_up(sqlite_store, redis)
    redis.delete(books.keys.rows, books.keys.users)
    redis.hset(books.keys.rows, mapping={f"{number:036}": 1 for number in range(25)})
    redis.hset(books.keys.users, mapping={f"{number:036}": 1 for number in range(25)})
    verified = verify(sqlite_store, redis, repair=True)
    assert verified.diff.counts == {"rows": 50, "users": 27, "head": 1}
    assert len(verified.diff.first) == 5
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def endless_commands(movie):
    """Yield commands of all kinds for ever."""
    yield create(movie, by=ANN)
    while True:
        yield update(movie, by=ANN, title=str(new_id()))
        yield delete(movie, by=ANN)
        yield revert(movie, by=ANN, version=1)
        yield create(by=ANN, year=1900)


def test_concurrent_writes_are_no_differences(sqlite_store, redis, books, monkeypatch):
    """Between any two steps, events of all kinds are appended and applied."""
    monkeypatch.setattr(filling, "BATCH", 4)
    redis.hset(books.keys.rows, books.some, "x")
    commands = endless_commands(new_id())
    subscription = caught_up(sqlite_store, redis)
    before = sqlite_store.head()

    def meanwhile():
        write(sqlite_store, next(commands))
        subscription.process_batch()

    verified = verify(sqlite_store, Between(redis, meanwhile))
    assert sqlite_store.head() > before + 10
    assert set(found_values(verified)) == {("rows", books.some.encode())}
    verify(sqlite_store, Between(redis, meanwhile), repair=True)
    caught_up(sqlite_store, redis)
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_a_repair_begins_a_new_epoch(sqlite_store, redis, books):
    """Who follows the changes of the generation must read it again."""
    epoch = int(redis.hget(books.keys.state, "mends"))
    redis.hset(books.keys.rows, books.some, "x")
    verify(sqlite_store, redis, repair=True)
    assert int(redis.hget(books.keys.state, "mends")) == epoch + 1


@pytest.mark.parametrize("at", range(1, 10))
def test_a_projection_does_not_undo_a_repair(sqlite_store, redis, books, at):
    """The repair runs between any two of its steps."""
    line = redis.hget(books.keys.rows, books.some)
    redis.hset(books.keys.rows, books.some, line.replace(b"Alien", b"Algae"))
    write(sqlite_store, update(books.ids[3], by=BOB, year=2001))
    calls = itertools.count(1)

    def meanwhile():
        if next(calls) == at:
            verify(sqlite_store, redis, repair=True)

    caught_up(sqlite_store, Between(redis, meanwhile))
    verify(sqlite_store, redis, repair=next(calls) <= at)
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_a_discarded_movie_is_no_difference(sqlite_store, redis, books, tmp_path):
    """It is not repaired."""
    corrupt_event(tmp_path / "events.db", books.changed, version=2)
    redis.flushall()
    caught_up(sqlite_store, redis)
    assert not verify(sqlite_store, redis).diff.counts
    assert discard(live(redis), books.changed)
    before = generation_contents(redis)
    assert not verify(sqlite_store, redis, repair=True).diff.counts
    assert generation_contents(redis) == before


@pytest.fixture
def discarded(sqlite_store, redis, books, tmp_path):
    """A read model with a discarded movie; ``row`` is its former row."""
    corrupt_event(tmp_path / "events.db", books.changed, version=2)
    redis.flushall()
    caught_up(sqlite_store, redis)
    books.row = redis.hget(books.keys.rows, books.changed)
    assert discard(live(redis), books.changed)
    return books


def test_a_discarded_movie_in_the_lists_is_a_difference(sqlite_store, redis, discarded):
    """A repair removes it everywhere."""
    before = generation_contents(redis)
    keys = discarded.keys
    redis.hset(keys.rows, discarded.changed, discarded.row)
    redis.hincrby(keys.state, "rows", 1)
    assert live(redis).read_state().state == "live"
    wrong = {"rows": 1}
    assert verify(sqlite_store, redis).diff.counts == wrong
    assert verify(sqlite_store, redis, repair=True).diff.counts == wrong
    assert generation_contents(redis) == before


@pytest.mark.parametrize("counted", [False, True])
def test_a_forged_mark_is_a_difference(sqlite_store, redis, books, counted):
    """A mark counts only if the log has an event that cannot be applied."""
    keys = books.keys
    redis.hset(keys.parked, books.some, MARK[:-1] + ',"dropped":true}')
    redis.hincrby(keys.state, "parked", 1)
    redis.hincrby(keys.state, "dropped", int(counted))
    redis.hdel(keys.rows, books.some)
    redis.hincrby(keys.state, "rows", -1)
    assert live(redis).read_state().state == "live"
    wrong = {"rows", "parked"} | ({"head"} if not counted else set())
    assert set(verify(sqlite_store, redis).diff.counts) == wrong
    assert set(verify(sqlite_store, redis, repair=True).diff.counts) == wrong
    assert not verify(sqlite_store, redis).diff.counts
    assert generation_contents(redis) == books.expected


def test_events_are_counted_beside_a_discarded_movie(sqlite_store, redis, discarded):
    redis.hset(discarded.keys.state, "events", 3)
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"head": 1}
    assert not verify(sqlite_store, redis).diff.counts


def test_a_generation_of_another_log_cannot_be_repaired(sqlite_store, redis, books):
    redis.hset(books.keys.state, "last", "another:1")
    before = generation_contents(redis)
    verified = verify(sqlite_store, redis, repair=True)
    assert verified.foreign
    assert verified.diff.counts == {"head": 1}
    assert generation_contents(redis) == before


@pytest.mark.parametrize("state", ["none", "lost head", "retired"])
def test_verify_needs_a_live_generation(sqlite_store, redis, books, state):
    if state == "none":
        redis.flushall()
    elif state == "lost head":
        redis.delete(books.keys.state)
    else:
        redis.hset(Keys(1).state, "state", "retired")
    with pytest.raises(ReadModelUnavailableError):
        verify(sqlite_store, redis)
