"""A parked movie can be retried or discarded."""

import orjson
import pytest

from projections.rebuild.parked import discard, parked_in, retry
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from tests.controls import ANN, create, update
from tests.library import (
    caught_up,
    corrupt_event,
    expected_contents,
    generation_contents,
    library,
    live,
    repair_event,
    rewrite,
    write,
)
from tests.projections.faulty import every_death


@pytest.fixture
def books(sqlite_store, redis, tmp_path):
    """A library in which one movie cannot be read from its second event on."""
    books = library(sqlite_store)
    books.whole = expected_contents(sqlite_store, redis)
    books.path = tmp_path / "events.db"
    corrupt_event(books.path, books.changed, version=2)
    books.position = sqlite_store.read_stream(books.ids[0])[1].position
    caught_up(sqlite_store, redis)
    return books


def test_a_parked_movie_has_a_position_and_a_reason(redis, books):
    """The generation's state counts it."""
    (mark,) = parked_in(live(redis)).values()
    assert mark[:3] == (books.changed, books.position, "MovieUpdated")
    assert "timestamp" in mark.error
    assert not mark.dropped
    head = live(redis).read_state()
    assert (head.parked, head.dropped) == (1, 0)


def test_readers_see_the_last_good_row(redis, books):
    row = redis.hget(live(redis).keys.rows, books.changed)
    assert b'"title":"Alien 0"' in row
    assert b'"version":1' in row


def test_a_retry_applies_all_events_of_a_repaired_movie(sqlite_store, redis, books):
    """Each event counts once."""
    repair_event(books.path, books.changed, version=2)
    assert list(retry(sqlite_store, live(redis), [books.changed])) == [(books.changed, None)]
    assert generation_contents(redis) == books.whole
    assert list(retry(sqlite_store, live(redis), [books.changed])) == []
    write(sqlite_store, update(books.ids[0], by=ANN, title="Aliens"))
    caught_up(sqlite_store, redis)
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_a_failed_retry_changes_nothing(sqlite_store, redis, books):
    before = generation_contents(redis)
    ((key, error),) = retry(sqlite_store, live(redis), [books.changed])
    assert key == books.changed
    assert "timestamp" in error
    assert generation_contents(redis) == before


def test_a_retry_may_apply_some_of_the_events(sqlite_store, redis, books):
    """The row is as of the last event that could be applied."""
    repair_event(books.path, books.changed, version=2)
    corrupt_event(books.path, books.changed, version=3)
    ((_, error),) = retry(sqlite_store, live(redis), [books.changed])
    assert error
    assert b'"version":2' in redis.hget(live(redis).keys.rows, books.changed)
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_a_movie_with_a_poison_creation_has_no_row(sqlite_store, redis, books):
    """Its later events are applied by a retry only."""
    repair_event(books.path, books.changed, version=2)
    corrupt_event(books.path, books.back)
    redis.flushall()
    caught_up(sqlite_store, redis)
    assert list(parked_in(live(redis))) == [books.back]
    assert not redis.hexists(live(redis).keys.rows, books.back)
    repair_event(books.path, books.back)
    assert list(retry(sqlite_store, live(redis), [books.back])) == [(books.back, None)]
    assert generation_contents(redis) == books.whole


def test_a_running_projection_notices_a_retry(sqlite_store, redis, books):
    """It knows the movie as parked, and still applies its next event."""
    write(sqlite_store, create(by=ANN))
    subscription = caught_up(sqlite_store, redis)
    repair_event(books.path, books.changed, version=2)
    list(retry(sqlite_store, live(redis), [books.changed]))
    write(sqlite_store, update(books.ids[0], by=ANN, title="Aliens"))
    while not subscription.process_batch():
        pass
    assert generation_contents(redis) == expected_contents(sqlite_store, redis)


def test_a_discarded_movie_leaves_the_lists(sqlite_store, redis, books):
    """Its later events are skipped, and it no longer counts as parked."""
    assert discard(live(redis), books.changed)
    head = live(redis).read_state()
    assert (head.state, head.parked, head.dropped) == ("live", 0, 1)
    keys = live(redis).keys
    assert not redis.hexists(keys.rows, books.changed)
    assert redis.hlen(keys.rows) == 4
    repair_event(books.path, books.changed, version=2)
    write(sqlite_store, update(books.ids[0], by=ANN, title="Aliens"))
    caught_up(sqlite_store, redis)
    assert not redis.hexists(keys.rows, books.changed)
    assert discard(live(redis), books.changed)
    assert live(redis).read_state().dropped == 1


def test_a_discarded_movie_can_be_retried(sqlite_store, redis, books):
    discard(live(redis), books.changed)
    repair_event(books.path, books.changed, version=2)
    assert list(retry(sqlite_store, live(redis), [books.changed])) == [(books.changed, None)]
    assert generation_contents(redis) == books.whole


def test_only_a_parked_movie_can_be_discarded(redis, books):
    before = generation_contents(redis)
    assert not discard(live(redis), books.back)
    assert generation_contents(redis) == before


def test_a_killed_retry_is_complete_or_without_effect(sqlite_store, redis, books):
    """The next retry completes it."""
    repair_event(books.path, books.changed, version=2)
    copies = {key: redis.dump(key) for key in redis.keys("*")}
    deaths = 0
    for died in every_death(
        redis, lambda dying: list(retry(sqlite_store, live(dying), [books.changed]))
    ):
        deaths += died
        redis.hdel(live(redis).keys.state, "hold")
        list(retry(sqlite_store, live(redis), [books.changed]))
        assert generation_contents(redis) == books.whole
        redis.flushall()
        for key, value in copies.items():
            redis.restore(key, 0, value)
    assert deaths > 8


POISON = {
    "created by no account": (1, {"by": None}),
    "created by a list": (1, {"by": []}),
    "created by a stranger": (1, {"by": "01890000-0000-7000-8000-0000000000ff"}),
    "created at no time": (1, {"timestamp": "yesterday"}),
    "created in an object": (1, {"timestamp": {}}),
    "a year of text": (1, {"year": "1979"}),
    "a year of five digits": (1, {"year": 12345}),
    "a title that is a list": (1, {"title": ["Alien"]}),
    "no genre": (1, {"genre": None}),
    "NUL in a title": (1, {"title": "Al\0ien"}),
    "changed to a number": (2, {"title": 5}),
    "changed at no time": (2, {"timestamp": None}),
    "changed in a list": (3, {"timestamp": []}),
}


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("last", [False, True])
def test_a_poison_event_of_any_kind_stops_only_its_movie(
    sqlite_store, redis, tmp_path, poison, last
):
    """This holds anywhere in a batch, live and in a rebuild; retry and verify agree."""
    version, fields = POISON[poison]
    books = library(sqlite_store)
    rewrite(tmp_path / "events.db", books.changed, version, **fields)
    position = sqlite_store.read_stream(books.ids[0])[version - 1].position
    caught_up(sqlite_store, redis, limit=position if last else 1000)
    assert list(parked_in(live(redis))) == [books.changed]
    rows = redis.hkeys(live(redis).keys.rows)
    assert {str(key).encode() for key in books.ids[3:]} | {books.back.encode()} <= set(rows)
    assert not verify(sqlite_store, redis).diff.counts
    ((key, error),) = retry(sqlite_store, live(redis), [books.changed])
    assert (key, bool(error)) == (books.changed, True)
    before = generation_contents(redis)
    assert not rebuild(sqlite_store, redis).diff.counts
    assert generation_contents(redis) == before


def test_an_account_without_a_name_is_not_shown(sqlite_store, redis, tmp_path):
    """Its movies are not shown either; all others are."""
    books = library(sqlite_store)
    rewrite(tmp_path / "events.db", str(ANN), username={"x": 1})
    caught_up(sqlite_store, redis)
    assert str(ANN) in parked_in(live(redis))
    assert redis.hexists(live(redis).keys.rows, str(books.ids[3]))


JUNK = (b"x", b"", b"[]", b"{}", b"null", b'{"position":"1","type":1,"error":null}', b"\xff")


@pytest.mark.parametrize("value", JUNK)
def test_a_damaged_mark_keeps_its_movie_parked(sqlite_store, redis, books, value):
    """The mark is rewritten or removed."""
    keys = live(redis).keys
    redis.hset(keys.parked, books.changed, value)
    assert parked_in(live(redis))[books.changed].error
    assert not verify(sqlite_store, redis).diff.counts
    redis.hset(keys.parked, "unknown", value)
    redis.hset(keys.parked, b"\xff", value)
    redis.hset(keys.state, "parked", 3)
    assert not next(iter(retry(sqlite_store, live(redis), ["unknown"])))[1]
    assert discard(live(redis), books.changed)
    assert parked_in(live(redis))[books.changed].dropped
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"parked": 1}
    assert not verify(sqlite_store, redis).diff.counts
    repair_event(books.path, books.changed, version=2)
    assert list(retry(sqlite_store, live(redis), [books.changed])) == [(books.changed, None)]
    assert set(generation_contents(redis)) == set(books.whole)


def test_a_mark_is_json(redis, books):
    """An operator may read it in Redis."""
    value = redis.hget(live(redis).keys.parked, books.changed)
    assert orjson.loads(value).keys() == {"position", "type", "error"}
