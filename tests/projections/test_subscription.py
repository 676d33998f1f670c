"""The subscription applies a real log to a real Redis."""

import sqlite3
import time

import pytest
from structlog.testing import capture_logs

from commands.errors import ReadModelUnavailableError
from commands.execution.group_commit import commit
from projections.follow.subscription import Subscription, catch_up
from projections.generation import lifecycle
from projections.keys import BUILDING, DROPPED, READ_MODEL, Keys
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


def test_a_parked_movie_is_logged_once_with_the_reason(sqlite_store, redis, account, tmp_path):
    bad = new_id()
    commit(sqlite_store, [create(bad, by=account)])
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute(
            "UPDATE stored_events SET state = '{' WHERE originator_id = ?", (bad.hex,)
        )
    connection.close()
    with capture_logs() as logged:
        caught_up(Subscription(sqlite_store, redis))
    (parked,) = [line for line in logged if line["event"] == "parked"]
    assert (parked["stream"], parked["log_level"]) == (str(bad), "error")
    assert parked["error"]


def test_a_live_generation_below_the_floor_is_retired(sqlite_store, redis):
    """So no process serves it, even if this one may not build another."""
    caught_up(Subscription(sqlite_store, redis))
    sqlite_store.raise_floor(redis.get(READ_MODEL).decode(), 3)
    with capture_logs() as logged, pytest.raises(ReadModelUnavailableError, match="newer release"):
        Subscription(sqlite_store, redis, may_build=lambda: False).process_batch()
    assert redis.hget(Keys(1).state, "state") == b"retired"
    assert {
        "event": "Redis went back to an older state",
        "live": 1,
        "expected": 3,
        "log_level": "error",
    } in logged
    caught_up(Subscription(sqlite_store, redis))
    assert lifecycle.live_number(redis) == 4


def test_what_is_left_of_dropped_generations_is_swept_while_nothing_is_appended(
    sqlite_store, redis, account
):
    """A large generation is removed in steps, of which a rebuild that ends may leave most."""
    subscription = caught_up(Subscription(sqlite_store, redis))
    redis.hset(Keys(9).rows, mapping={f"row {number}": "x" for number in range(5_000)})
    redis.sadd(DROPPED, 9)
    commit(sqlite_store, [create(by=account)])
    assert subscription.process_batch()
    assert redis.exists(Keys(9).rows)  # events come first
    for _ in range(100):
        subscription.process_batch()
        if not redis.exists(DROPPED):
            break
    assert not redis.exists(Keys(9).rows, DROPPED)


def test_one_sweep_is_short(sqlite_store, redis, monkeypatch):
    """The next event waits for it."""
    subscription = caught_up(Subscription(sqlite_store, redis))
    steps = []

    def endless(_):
        while True:
            steps.append(time.monotonic())
            yield

    monkeypatch.setattr(lifecycle, "sweep", endless)
    assert subscription.process_batch()
    assert 0.01 < steps[-1] - steps[0] < 0.5


def test_a_generation_that_is_lost_again_and_again_is_built_less_and_less_often(
    sqlite_store, redis, account
):
    """A Redis that evicts keys would lose each."""
    commit(sqlite_store, [create(by=account)])
    subscription = Subscription(sqlite_store, redis)
    with capture_logs() as logged:
        for number in (1, 2, 3):
            caught_up(subscription)
            redis.delete(Keys(number).state)
            assert not subscription.process_batch()
        began = time.monotonic()
        caught_up(subscription)
    assert time.monotonic() - began >= 0.19
    lost = [line for line in logged if line["event"] == "generation is gone"]
    assert [(line["generation"], line["rest_s"]) for line in lost] == [(1, 0.0), (2, 0.1), (3, 0.2)]
    built = [line for line in logged if line["event"] == "building"]
    assert [(line["generation"], line["live"]) for line in built] == [
        (number, None) for number in (1, 2, 3, 4)
    ]
    live = [line for line in logged if line["event"] == "live"]
    assert [(line["generation"], line["position"]) for line in live] == [
        (number, sqlite_store.head()) for number in (1, 2, 3, 4)
    ]


def test_a_generation_that_was_live_for_long_is_rebuilt_at_once(
    sqlite_store, redis, account, monkeypatch
):
    """It was lost for another reason than the one before."""
    commit(sqlite_store, [create(by=account)])
    monkeypatch.setattr("projections.follow.subscription._SETTLED_S", 0)
    subscription = Subscription(sqlite_store, redis)
    with capture_logs() as logged:
        for number in (1, 2, 3):
            caught_up(subscription)
            redis.delete(Keys(number).state)
            assert not subscription.process_batch()
    assert [line["rest_s"] for line in logged if line["event"] == "generation is gone"] == [0.0] * 3


def test_events_are_told_when_readers_see_them(sqlite_store, redis, account):
    """Not those of a generation that is being built."""
    told = []
    commit(sqlite_store, [create(by=account) for _ in range(4)])
    subscription = Subscription(
        sqlite_store, redis, limit=2, on_shown=lambda *shown: told.append(shown)
    )
    caught_up(subscription)
    assert told == []
    subscription.process_batch()
    assert told == []
    before = time.time_ns()
    commit(sqlite_store, [create(by=account)])
    caught_up(subscription)
    ((events, began_ns),) = told
    assert [event.position for event in events] == [sqlite_store.head()]
    assert before <= began_ns <= time.time_ns()


def test_a_release_that_must_not_build_waits_for_the_one_that_does(sqlite_store, redis):
    subscription = Subscription(sqlite_store, redis, may_build=lambda: False)
    with pytest.raises(ReadModelUnavailableError, match=r": a newer release builds it$"):
        subscription.process_batch()
    assert not redis.exists(BUILDING)


def test_a_release_that_must_not_build_leaves_the_next_generation_alone(sqlite_store, redis):
    """It keeps its live one up to date."""
    caught_up(Subscription(sqlite_store, redis))
    building = lifecycle.begin(redis)
    caught_up(Subscription(sqlite_store, redis, may_build=lambda: False))
    assert redis.exists(building.keys.state)
    caught_up(Subscription(sqlite_store, redis))
    assert not redis.exists(building.keys.state)


def test_catching_up_ends_at_a_position(sqlite_store, redis, account):
    """Or at the end of the log."""
    commit(sqlite_store, [create(by=account) for _ in range(5)])
    writer = lifecycle.begin(redis)
    catch_up(sqlite_store, writer, 4, limit=3)
    assert writer.checkpoint() == 4
    catch_up(sqlite_store, writer, 2)
    assert writer.checkpoint() == 4
    catch_up(sqlite_store, writer, 1_000)
    assert writer.checkpoint() == sqlite_store.head()
    redis.delete(writer.keys.state)
    with pytest.raises(ReadModelUnavailableError, match=r": generation 1 is gone$"):
        catch_up(sqlite_store, writer, 1_000)
