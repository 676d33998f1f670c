"""Loss and corruption of the read model are detected at once, and it is rebuilt."""

import sqlite3
import time
from contextlib import closing
from functools import partial

import pytest

from commands.event_store.store import Store
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.keys import Keys
from projections.rebuild.parked import parked_in, retry
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from tests.controls import ANN, create, new_id, register, update
from tests.library import (
    caught_up,
    corrupt_event,
    expected_contents,
    generation_contents,
    library,
    live,
    write,
)
from tests.projections.faulty import every_death

LASTING = {name: Keys(1).named(name) for name in ("head", "rows", "gone", "users", "parked")}


@pytest.fixture
def books(sqlite_store, redis):
    books = library(sqlite_store)
    books.expected = expected_contents(sqlite_store, redis)
    return books


def finish(subscription):
    while not subscription.process_batch():
        pass


@pytest.mark.parametrize("name", [name for name in LASTING if name != "parked"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_lost_key_is_detected(sqlite_store, redis, books, name, busy):
    """An idle and a busy projection detect it, and park no movie."""
    subscription = caught_up(sqlite_store, redis)
    redis.delete(LASTING[name])
    if busy:
        write(sqlite_store, create(by=ANN))
    assert not subscription.process_batch()
    finish(subscription)
    assert lifecycle.live_number(redis) == 2
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_lost_marks_are_detected(sqlite_store, redis, books, tmp_path):
    """Otherwise later events of a parked movie would be applied to its last good row."""
    corrupt_event(tmp_path / "events.db", books.changed, version=2)
    subscription = caught_up(sqlite_store, redis)
    redis.delete(LASTING["parked"])
    assert not subscription.process_batch()
    finish(subscription)
    assert redis.hkeys(Keys(2).parked) == [books.changed.encode()]


HEAD = ("rows", "gone", "users", "parked", "dropped", "events", "mends", "position")


@pytest.mark.parametrize("name", HEAD)
@pytest.mark.parametrize("value", [None, "abc", "-1", "007", "1.5", "9" * 30, "\xff"])
def test_a_corrupt_state_number_is_detected(sqlite_store, redis, books, name, value):
    """The generation is damaged, and an idle or busy projection rebuilds it."""
    subscription = caught_up(sqlite_store, redis)
    head = Keys(1).state
    if value is None:
        redis.hdel(head, name)
    else:
        redis.hset(head, name, value)
    if value is None and name == "position":
        assert live(redis).read_state() is None
    else:
        assert live(redis).read_state().state == "damaged"
        assert verify(sqlite_store, redis).diff.counts
    write(sqlite_store, create(by=ANN))
    assert not subscription.process_batch()
    finish(subscription)
    assert lifecycle.live_number(redis) == 2
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


@pytest.mark.parametrize("value", ["9999999999999", "abc", "", "-5", "1e99"])
def test_a_corrupt_pause_is_ignored(sqlite_store, redis, books, value):
    """Writes are shown, and a rebuild and a repair can pause the generation."""
    subscription = caught_up(sqlite_store, redis)
    redis.hset(Keys(1).state, "hold", value)
    write(sqlite_store, create(by=ANN))
    assert subscription.process_batch()
    assert subscription.position == sqlite_store.head()
    redis.hset(Keys(1).rows, str(books.ids[3]), "x")
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"rows": 1}
    redis.hset(Keys(1).state, "hold", value)
    assert not rebuild(sqlite_store, redis).diff.counts
    assert lifecycle.live_number(redis) == 2
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


JUNK = ("x", "-5", "0", "77", "9" * 30)


@pytest.mark.parametrize("name", LASTING)
@pytest.mark.parametrize(
    "command", ["SET KEY x", "SADD KEY x", "HSET KEY a 1 b 1 c 1", "ZADD KEY 1 x"]
)
def test_a_key_of_another_type_counts_as_lost(sqlite_store, redis, books, name, command):
    """Both an idle and a busy projection rebuild the generation."""
    for busy in (False, True):
        redis.flushall()
        subscription = caught_up(sqlite_store, redis)
        redis.delete(LASTING[name])
        redis.execute_command(*command.replace("KEY", LASTING[name]).split())
        if name != "head":
            assert live(redis).read_state().state == "damaged"
            assert verify(sqlite_store, redis).diff.counts
        if busy:
            write(sqlite_store, update(books.ids[0], by=ANN, title="Brazil"))
        assert not subscription.process_batch()
        finish(subscription)
        assert lifecycle.live_number(redis) == 2
        assert generation_contents(redis) == expected_contents(sqlite_store, redis)


@pytest.mark.parametrize("name", LASTING)
def test_rebuild_and_repair_replace_a_key_of_another_type(sqlite_store, redis, books, name):
    """A repair replaces it if there is something to repair."""
    for number, mend in enumerate((rebuild, partial(verify, repair=True))):
        caught_up(sqlite_store, redis)
        if name == "head" and number:
            break
        key = live(redis).keys.named(name)
        redis.set(key, "x")
        mend(sqlite_store, redis)
        assert live(redis).read_state().state == "live"
        assert generation_contents(redis) == books.expected


@pytest.mark.parametrize("value", JUNK)
@pytest.mark.parametrize("by", ["the projection", "a rebuild"])
def test_a_corrupt_pointer_is_replaced(sqlite_store, redis, books, value, by):
    """A projection and a rebuild replace it."""
    subscription = caught_up(sqlite_store, redis)
    redis.set("movies:live", value)
    redis.set("movies:building", value)
    write(sqlite_store, create(by=ANN))
    if by == "a rebuild":
        rebuild(sqlite_store, redis)
    else:
        finish(subscription)
    assert live(redis).read_state().state == "live"
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


@pytest.mark.parametrize("name", ["live", "building", "generations", "dropped"])
def test_a_global_key_of_another_type_is_replaced(sqlite_store, redis, books, name):
    for mend in (caught_up, rebuild):
        caught_up(sqlite_store, redis)
        redis.delete(f"movies:{name}", Keys(lifecycle.live_number(redis) or 1).rows)
        redis.hset(f"movies:{name}", "x", "y")
        mend(sqlite_store, redis)
        assert generation_contents(redis) == books.expected


@pytest.mark.parametrize("name", ["generations", "dropped"])
def test_junk_among_the_generations_is_removed(sqlite_store, redis, books, name):
    for mend in (caught_up, rebuild):
        redis.sadd(f"movies:{name}", *JUNK, b"\xff", "")
        redis.delete("movies:live")
        mend(sqlite_store, redis)
        assert generation_contents(redis) == books.expected
        assert not redis.smembers(f"movies:{name}") & {b"x", b"0", b"9" * 30, b"\xff", b""}


def test_a_wipe_at_any_step_restarts_the_projection(sqlite_store, redis, books):
    for step in range(8):
        redis.flushall()
        subscription = Subscription(sqlite_store, redis, limit=5)
        for _ in range(step):
            subscription.process_batch()
        redis.flushall()
        finish(subscription)
        assert generation_contents(redis) == books.expected
        assert len(redis.smembers("movies:generations")) == 1


@pytest.mark.parametrize("longer", [False, True])
def test_a_generation_of_another_log_is_retired(sqlite_store, redis, books, tmp_path, longer):
    """Lists of another log are not shown."""
    caught_up(sqlite_store, redis)
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    write(other, register(ANN, username="ann"))
    if longer:
        write(other, *(create(by=ANN) for _ in range(30)))
    subscription = Subscription(other, redis)
    subscription.process_batch()
    finish(subscription)
    assert generation_contents(redis) == expected_contents(other, redis)
    other.close()


def test_a_log_that_was_set_back_is_noticed(sqlite_store, redis, books, tmp_path):
    """A running projection notices that a restored backup is older than the list."""
    backup = Store.open(f"sqlite:///{tmp_path}/backup.db")
    backup.restore([sqlite_store.read_raw(0, 10, 10)])
    subscription = caught_up(sqlite_store, redis)
    subscription._store = backup
    finish(subscription)
    assert subscription.position == 10
    assert generation_contents(redis) == expected_contents(backup, redis)
    backup.close()


def test_a_log_that_was_set_back_and_continued_is_noticed(sqlite_store, redis, books, tmp_path):
    """At the position is the same version of the same movie, with another timestamp."""
    backup = Store.open(f"sqlite:///{tmp_path}/backup.db")
    last = sqlite_store.head()
    backup.restore([sqlite_store.read_raw(0, last, last)])
    for store, title in ((sqlite_store, "Then"), (backup, "Now")):
        write(store, update(books.ids[0], by=ANN, title=title))
    caught_up(sqlite_store, redis)
    finish(Subscription(backup, redis))
    assert generation_contents(redis) == expected_contents(backup, redis)
    backup.close()


UNREADABLE = {
    "no JSON": b'{"title": "Al',
    "no UTF-8": b"\xff\xfe",
    "no object": b"[1, 2]",
    "nothing": b"",
    "no fields": b"{}",
    "of a later release": b'{"class_version": 99, "title": "Aliens"}',
}


@pytest.mark.parametrize("state", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_event_parks_only_its_movie(sqlite_store, redis, books, state, tmp_path):
    """All others are applied, even in the same batch; rebuild and verify agree."""
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection, connection:
        connection.execute(
            "UPDATE stored_events SET state = ? WHERE originator_id = ? AND originator_version = 2",
            (state, books.changed.replace("-", "")),
        )
    subscription = caught_up(sqlite_store, redis)
    assert subscription.position == sqlite_store.head()
    (mark,) = parked_in(live(redis)).values()
    assert mark.id == books.changed
    assert mark.error
    write(sqlite_store, create(by=ANN, title="Zardoz"))
    finish(subscription)
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)
    finish(Subscription(sqlite_store, redis))
    assert not rebuild(sqlite_store, redis).diff.counts
    assert not verify(sqlite_store, redis).diff.counts


def test_an_unreadable_account_is_parked_with_its_movies(sqlite_store, redis, books, tmp_path):
    """A retry applies all of them."""
    path = tmp_path / "events.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        where = "WHERE originator_id = ? AND originator_version = 1"
        key = (ANN.hex,)
        (state,) = connection.execute(f"SELECT state FROM stored_events {where}", key).fetchone()
        connection.execute(f"UPDATE stored_events SET state = '{{' {where}", key)
    subscription = caught_up(sqlite_store, redis)
    assert subscription.position == sqlite_store.head()
    assert str(ANN) in parked_in(live(redis))
    assert b"ann" not in b"".join(redis.hvals(live(redis).keys.rows))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE stored_events SET state = ? {where}", (state, *key))
    for _ in retry(Store.open(f"sqlite:///{path}"), live(redis), list(parked_in(live(redis)))):
        pass
    assert generation_contents(redis) == books.expected


def seconds_to_rebuild(subscription, redis):
    """Delete a key of the live generation; return the seconds until another one is live."""
    redis.delete(Keys(lifecycle.live_number(redis)).rows)
    began = time.monotonic()
    assert not subscription.process_batch()
    finish(subscription)
    return time.monotonic() - began


def test_repeated_losses_are_rebuilt_with_a_backoff(sqlite_store, redis, books):
    """A Redis that evicts keys must not be busy with rebuilds only."""
    subscription = caught_up(sqlite_store, redis)
    subscription._settled_at = 0  # it has been live for long
    seconds_to_rebuild(subscription, redis)
    assert seconds_to_rebuild(subscription, redis) >= 0.1
    assert seconds_to_rebuild(subscription, redis) >= 0.2
    assert generation_contents(redis) == books.expected


def test_the_loss_of_a_long_live_generation_is_rebuilt_at_once(
    sqlite_store, redis, books, monkeypatch
):
    monkeypatch.setattr("projections.follow.subscription._FIRST_BACKOFF_S", 30)
    subscription = caught_up(sqlite_store, redis)
    for _ in range(3):
        subscription._settled_at = 0
        assert seconds_to_rebuild(subscription, redis) < 30
    assert generation_contents(redis) == books.expected


def test_an_unfinished_generation_of_another_log_is_not_continued(
    sqlite_store, redis, books, tmp_path
):
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    write(other, register(ANN, username="ann"), register(new_id(), username="bob"))
    Subscription(other, redis, limit=1).process_batch()
    finish(Subscription(sqlite_store, redis))
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)
    other.close()


def test_a_projection_killed_at_any_step_is_continued(sqlite_store, redis, books):
    """No event is lost or counted twice."""
    deaths = 0
    redis.flushall()
    for died in every_death(
        redis, lambda dying: finish(Subscription(sqlite_store, dying, limit=5))
    ):
        deaths += died
        finish(Subscription(sqlite_store, redis, limit=3))
        assert generation_contents(redis) == books.expected
        assert len(redis.smembers("movies:generations")) == 1
        redis.flushall()
    assert deaths > 60


def test_interleaved_projections_count_each_event_once(sqlite_store, redis, books):
    redis.flushall()
    subscriptions = [Subscription(sqlite_store, redis, limit=limit) for limit in (2, 3)]
    for number in range(6):
        write(sqlite_store, create(by=ANN, title=f"Alien {number}"))
        for subscription in subscriptions:
            subscription.process_batch()
    for subscription in subscriptions:
        finish(subscription)
    assert lifecycle.live_number(redis) == 1
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)
