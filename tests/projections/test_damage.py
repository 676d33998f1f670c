"""Loss and corruption in the read model are detected at once, and it is rebuilt."""

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
from tests.library import caught_up, kept, library, live, replayed, spoil, write
from tests.projections.faulty import every_death

LASTING = {
    name: Keys(1).named(name)
    for name in ("head", "rows", "created", "years", "titles", "gone", "users", "parked")
}


@pytest.fixture
def books(sqlite_store, redis):
    books = library(sqlite_store)
    books.expected = replayed(sqlite_store, redis)
    return books


def followed(subscription):
    while not subscription.process_batch():
        pass


@pytest.mark.parametrize("name", [name for name in LASTING if name != "parked"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_lost_key_is_detected(sqlite_store, redis, books, name, busy):
    """By an idle projection and by a busy one, which parks no movie."""
    subscription = caught_up(sqlite_store, redis)
    redis.delete(LASTING[name])
    if busy:
        write(sqlite_store, create(by=ANN))
    assert not subscription.process_batch()
    followed(subscription)
    assert lifecycle.live_number(redis) == 2
    assert kept(redis) == replayed(sqlite_store, redis)


def test_lost_marks_are_detected(sqlite_store, redis, books, tmp_path):
    """Otherwise later events of a parked movie would be applied to its last good row."""
    spoil(tmp_path / "events.db", books.changed, version=2)
    subscription = caught_up(sqlite_store, redis)
    redis.delete(LASTING["parked"])
    assert not subscription.process_batch()
    followed(subscription)
    assert redis.hkeys(Keys(2).parked) == [books.changed.encode()]


HEAD = ("rows", "gone", "users", "parked", "dropped", "events", "mends", "position")


@pytest.mark.parametrize("name", HEAD)
@pytest.mark.parametrize("value", [None, "abc", "-1", "007", "1.5", "9" * 30, "\xff"])
def test_a_corrupt_number_of_the_state_is_detected(sqlite_store, redis, books, name, value):
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
    followed(subscription)
    assert lifecycle.live_number(redis) == 2
    assert kept(redis) == replayed(sqlite_store, redis)


@pytest.mark.parametrize("value", ["9999999999999", "abc", "", "-5", "1e99"])
def test_a_corrupt_pause_is_ignored(sqlite_store, redis, books, value):
    """Writes are shown, and a rebuild and a repair can pause the generation."""
    subscription = caught_up(sqlite_store, redis)
    redis.hset(Keys(1).state, "hold", value)
    write(sqlite_store, create(by=ANN))
    assert subscription.process_batch()
    assert subscription.position == sqlite_store.head()
    redis.zadd(Keys(1).years, {str(books.ids[3]): 1})
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"years": 1}
    redis.hset(Keys(1).state, "hold", value)
    assert not rebuild(sqlite_store, redis).diff.counts
    assert lifecycle.live_number(redis) == 2
    assert kept(redis) == replayed(sqlite_store, redis)


JUNK = ("x", "-5", "0", "77", "9" * 30)


@pytest.mark.parametrize("name", LASTING)
@pytest.mark.parametrize(
    "command", ["SET KEY x", "SADD KEY x", "HSET KEY a 1 b 1 c 1", "ZADD KEY 1 x"]
)
def test_a_key_of_another_type(sqlite_store, redis, books, name, command):
    """It counts as lost, for an idle projection and for a busy one."""
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
        followed(subscription)
        assert lifecycle.live_number(redis) == 2
        assert kept(redis) == replayed(sqlite_store, redis)


@pytest.mark.parametrize("name", LASTING)
def test_a_key_of_another_type_without_a_projection(sqlite_store, redis, books, name):
    """A rebuild works, and a repair if there is something to repair."""
    for number, mend in enumerate((rebuild, partial(verify, repair=True))):
        caught_up(sqlite_store, redis)
        if name == "head" and number:
            break
        key = live(redis).keys.named(name)
        redis.set(key, "x")
        mend(sqlite_store, redis)
        assert live(redis).read_state().state == "live"
        assert kept(redis) == books.expected


@pytest.mark.parametrize("value", JUNK)
@pytest.mark.parametrize("by", ["the projection", "a rebuild"])
def test_a_corrupt_pointer_is_replaced(sqlite_store, redis, books, value, by):
    """By a projection and by a rebuild."""
    subscription = caught_up(sqlite_store, redis)
    redis.set("movies:live", value)
    redis.set("movies:building", value)
    write(sqlite_store, create(by=ANN))
    if by == "a rebuild":
        rebuild(sqlite_store, redis)
    else:
        followed(subscription)
    assert live(redis).read_state().state == "live"
    assert kept(redis) == replayed(sqlite_store, redis)


@pytest.mark.parametrize("name", ["live", "building", "generations", "dropped"])
def test_a_global_key_of_another_type_is_replaced(sqlite_store, redis, books, name):
    for mend in (caught_up, rebuild):
        caught_up(sqlite_store, redis)
        redis.delete(f"movies:{name}", Keys(lifecycle.live_number(redis) or 1).titles)
        redis.hset(f"movies:{name}", "x", "y")
        mend(sqlite_store, redis)
        assert kept(redis) == books.expected


@pytest.mark.parametrize("name", ["generations", "dropped"])
def test_junk_among_the_generations_is_removed(sqlite_store, redis, books, name):
    """It is taken out."""
    for mend in (caught_up, rebuild):
        redis.sadd(f"movies:{name}", *JUNK, b"\xff", "")
        redis.delete("movies:live")
        mend(sqlite_store, redis)
        assert kept(redis) == books.expected
        assert not redis.smembers(f"movies:{name}") & {b"x", b"0", b"9" * 30, b"\xff", b""}


def test_a_wipe_at_any_step_of_the_projection(sqlite_store, redis, books):
    """The projection begins again."""
    for step in range(8):
        redis.flushall()
        subscription = Subscription(sqlite_store, redis, limit=5)
        for _ in range(step):
            subscription.process_batch()
        redis.flushall()
        followed(subscription)
        assert kept(redis) == books.expected
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
    followed(subscription)
    assert kept(redis) == replayed(other, redis)
    other.close()


def test_a_log_that_was_set_back(sqlite_store, redis, books, tmp_path):
    """A restored backup is older than the list: a running projection notices."""
    backup = Store.open(f"sqlite:///{tmp_path}/backup.db")
    backup.restore([sqlite_store.read_raw(0, 10, 10)])
    subscription = caught_up(sqlite_store, redis)
    subscription._store = backup
    followed(subscription)
    assert subscription.position == 10
    assert kept(redis) == replayed(backup, redis)
    backup.close()


def test_a_log_that_was_set_back_and_continued(sqlite_store, redis, books, tmp_path):
    """The same version of the same movie is at the position, at another time."""
    backup = Store.open(f"sqlite:///{tmp_path}/backup.db")
    last = sqlite_store.head()
    backup.restore([sqlite_store.read_raw(0, last, last)])
    for store, title in ((sqlite_store, "Then"), (backup, "Now")):
        write(store, update(books.ids[0], by=ANN, title=title))
    caught_up(sqlite_store, redis)
    followed(Subscription(backup, redis))
    assert kept(redis) == replayed(backup, redis)
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
def test_an_event_that_cannot_be_read_parks_its_movie_alone(
    sqlite_store, redis, books, state, tmp_path
):
    """All others are applied, even in the same batch; a rebuild and a verify agree."""
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
    followed(subscription)
    assert kept(redis) == replayed(sqlite_store, redis)
    followed(Subscription(sqlite_store, redis))
    assert not rebuild(sqlite_store, redis).diff.counts
    assert not verify(sqlite_store, redis).diff.counts


def test_an_account_that_cannot_be_read_parks_its_movies(sqlite_store, redis, books, tmp_path):
    """The account is parked too; a retry applies all of them."""
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
    assert kept(redis) == books.expected


def lose_and_follow(subscription, redis):
    """Delete a key of the live generation; return the seconds until another one is live."""
    redis.delete(Keys(lifecycle.live_number(redis)).titles)
    began = time.monotonic()
    assert not subscription.process_batch()
    followed(subscription)
    return time.monotonic() - began


def test_repeated_losses_are_rebuilt_with_a_backoff(sqlite_store, redis, books):
    """A Redis that evicts keys must not be busy with rebuilds only."""
    subscription = caught_up(sqlite_store, redis)
    subscription._settled_at = 0  # it was live for long
    lose_and_follow(subscription, redis)
    assert lose_and_follow(subscription, redis) >= 0.1
    assert lose_and_follow(subscription, redis) >= 0.2
    assert kept(redis) == books.expected


def test_the_loss_of_a_long_live_generation_is_rebuilt_at_once(
    sqlite_store, redis, books, monkeypatch
):
    monkeypatch.setattr("projections.follow.subscription._FIRST_BACKOFF_S", 30)
    subscription = caught_up(sqlite_store, redis)
    for _ in range(3):
        subscription._settled_at = 0
        assert lose_and_follow(subscription, redis) < 30
    assert kept(redis) == books.expected


def test_an_unfinished_generation_of_another_log_is_not_continued(
    sqlite_store, redis, books, tmp_path
):
    """A new one is begun."""
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    write(other, register(ANN, username="ann"), register(new_id(), username="bob"))
    Subscription(other, redis, limit=1).process_batch()
    followed(Subscription(sqlite_store, redis))
    assert kept(redis) == replayed(sqlite_store, redis)
    other.close()


def test_a_projection_that_dies_between_any_two_steps(sqlite_store, redis, books):
    """The next one continues: no event is lost or counted twice."""
    lives = 0
    redis.flushall()
    for died in every_death(
        redis, lambda dying: followed(Subscription(sqlite_store, dying, limit=5))
    ):
        lives += died
        followed(Subscription(sqlite_store, redis, limit=3))
        assert kept(redis) == books.expected
        assert len(redis.smembers("movies:generations")) == 1
        redis.flushall()
    assert lives > 60


def test_two_projections_step_by_step(sqlite_store, redis, books):
    """Between any two steps of the other: the list is right, each event counts once."""
    redis.flushall()
    tails = [Subscription(sqlite_store, redis, limit=limit) for limit in (2, 3)]
    for number in range(6):
        write(sqlite_store, create(by=ANN, title=f"Alien {number}"))
        for subscription in tails:
            subscription.process_batch()
    for subscription in tails:
        followed(subscription)
    assert lifecycle.live_number(redis) == 1
    assert kept(redis) == replayed(sqlite_store, redis)
