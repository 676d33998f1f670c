"""The subscription applies a real log to a real Redis."""

import sqlite3

import pytest

from commands.execution.group_commit import commit
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.keys import Keys
from tests.controls import create, delete, new_id, register, update
from tests.read_side import contents


@pytest.fixture
def account(sqlite_store):
    ann = new_id()
    commit(sqlite_store, [register(ann)])
    return ann


def caught_up(subscription):
    while not subscription.process_batch():
        pass
    return subscription


def test_an_empty_log_is_caught_up_at_once(sqlite_store, redis):
    """A fresh service shows an empty list, not an error."""
    assert Subscription(sqlite_store, redis).process_batch()
    assert lifecycle.live_number(redis) == 1


def test_the_read_model_shows_the_whole_log(store, redis):
    """The state has the log's last position and number of events."""
    ann = new_id()
    commit(store, [register(ann)])
    ids = [new_id() for _ in range(7)]
    commit(store, [create(key, by=ann) for key in ids])
    commit(store, [update(ids[0], by=ann, title="Aliens"), delete(ids[1], by=ann)])
    subscription = caught_up(Subscription(store, redis, limit=3))
    stored = contents(redis, 1)
    assert int(stored["head"][b"position"]) == subscription.position == store.head()
    assert int(stored["head"][b"events"]) == store.count()
    assert {key.decode() for key in stored["rows"]} == {str(key) for key in ids} - {str(ids[1])}
    assert b'"title":"Aliens"' in stored["rows"][str(ids[0]).encode()]


def test_a_partial_list_is_never_live(sqlite_store, redis, account):
    """The pointer is set only when the new generation has caught up."""
    commit(sqlite_store, [create(by=account) for _ in range(5)])
    subscription = Subscription(sqlite_store, redis, limit=2)
    while not subscription.process_batch():
        assert lifecycle.live_number(redis) is None
    assert subscription.position == sqlite_store.head()


def test_a_new_subscription_continues_at_the_checkpoint(sqlite_store, redis, account):
    commit(sqlite_store, [create(by=account) for _ in range(5)])
    subscription = Subscription(sqlite_store, redis, limit=2)
    subscription.process_batch()
    other = caught_up(Subscription(sqlite_store, redis, limit=2))
    assert lifecycle.live_number(redis) == 1
    assert redis.hlen(Keys(1).rows) == 5
    assert caught_up(subscription).position == other.position


@pytest.mark.parametrize("wipe", ["flushall", "head", "pointer"])
def test_a_wiped_redis_is_filled_again(sqlite_store, redis, account, wipe):
    """No new event is needed; the generation's number increases."""
    commit(sqlite_store, [create(by=account) for _ in range(5)])
    subscription = caught_up(Subscription(sqlite_store, redis, limit=2))
    if wipe == "flushall":
        redis.flushall()
    else:
        redis.delete(Keys(1).state)
        if wipe == "pointer":
            redis.delete("movies:live")
    assert not subscription.process_batch()
    caught_up(subscription)
    assert lifecycle.live_number(redis) == 2
    assert redis.hlen(Keys(2).rows) == 5
    assert redis.keys("{movies:1}*") == []


def test_a_wipe_while_building_starts_again(sqlite_store, redis, account):
    commit(sqlite_store, [create(by=account) for _ in range(5)])
    subscription = Subscription(sqlite_store, redis, limit=2)
    subscription.process_batch()
    redis.flushall()
    caught_up(subscription)
    assert redis.hlen(Keys(lifecycle.live_number(redis)).rows) == 5


def test_a_wipe_just_before_the_switch_starts_again(sqlite_store, redis, account, monkeypatch):
    """A deleted generation does not go live."""
    commit(sqlite_store, [create(by=account)])
    go_live, wipes = lifecycle.go_live, [redis.flushall]

    def wiped(client, writer, **more):
        if wipes:
            wipes.pop()()
        return go_live(client, writer, **more)

    monkeypatch.setattr(lifecycle, "go_live", wiped)
    subscription = Subscription(sqlite_store, redis)
    assert not subscription.process_batch()
    assert redis.keys("*") == []
    caught_up(subscription)
    assert redis.hlen(Keys(lifecycle.live_number(redis)).rows) == 1


def test_a_crash_before_the_pointer_is_set_is_repaired(sqlite_store, redis, account):
    """A generation goes live before its pointer is set; the next subscription sets the pointer."""
    commit(sqlite_store, [create(by=account)])
    caught_up(Subscription(sqlite_store, redis))
    redis.delete("movies:live")
    redis.set("movies:building", 1)
    caught_up(Subscription(sqlite_store, redis))
    assert lifecycle.live_number(redis) == 1


def test_a_retired_generation_is_replaced(sqlite_store, redis, account):
    """A running subscription builds or finds another one."""
    subscription = caught_up(Subscription(sqlite_store, redis))
    beside = lifecycle.begin(redis)
    beside.apply(sqlite_store.read(0), 0)
    redis.hset(Keys(1).state, "state", "retired")
    lifecycle.go_live(redis, beside)
    commit(sqlite_store, [create(by=account)])
    caught_up(subscription)
    assert redis.hlen(beside.keys.rows) == 1


def test_a_poison_event_stops_only_its_movie(sqlite_store, redis, account, tmp_path):
    """After a second try its movie is parked; all others are shown."""
    good, bad = new_id(), new_id()
    commit(sqlite_store, [create(good, by=account), create(bad, by=account)])
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute(
            "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), '1979', '\"x\"')"
            " AS BLOB) WHERE originator_id = ?",
            (bad.hex,),
        )
    connection.close()
    caught_up(Subscription(sqlite_store, redis))
    assert redis.hkeys(Keys(1).rows) == [str(good).encode()]
    assert redis.hkeys(Keys(1).parked) == [str(bad).encode()]
    commit(sqlite_store, [update(good, by=account, title="Aliens")])
    caught_up(Subscription(sqlite_store, redis))
    head = redis.hgetall(Keys(1).state)
    assert int(head[b"events"]) == sqlite_store.count() - 1
