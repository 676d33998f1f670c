"""A movie that is put aside can be taken up again, or given up."""

import orjson
import pytest

from projections.rebuild.parked import discard, parked_in, retry
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from tests.controls import ANN, create, update
from tests.library import caught_up, heal, kept, library, live, replayed, rewrite, spoil, write
from tests.projections.faulty import every_death


@pytest.fixture
def books(sqlite_store, redis, tmp_path):
    """The movie that changed twice cannot be read from its second event on."""
    books = library(sqlite_store)
    books.whole = replayed(sqlite_store, redis)
    books.path = tmp_path / "events.db"
    spoil(books.path, books.changed, version=2)
    books.position = sqlite_store.read_stream(books.ids[0])[1].position
    caught_up(sqlite_store, redis)
    return books


def test_what_is_parked(redis, books):
    """Since when, and why; the head counts it."""
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


def test_a_retry_after_the_repair(sqlite_store, redis, books):
    """All its events are applied and counted, once, and it is a movie like any other."""
    heal(books.path, books.changed, version=2)
    assert list(retry(sqlite_store, live(redis), [books.changed])) == [(books.changed, None)]
    assert kept(redis) == books.whole
    assert list(retry(sqlite_store, live(redis), [books.changed])) == []
    write(sqlite_store, update(books.ids[0], by=ANN, title="Aliens"))
    caught_up(sqlite_store, redis)
    assert kept(redis) == replayed(sqlite_store, redis)


def test_a_retry_that_fails_again(sqlite_store, redis, books):
    """Nothing changes."""
    before = kept(redis)
    ((key, error),) = retry(sqlite_store, live(redis), [books.changed])
    assert key == books.changed
    assert "timestamp" in error
    assert kept(redis) == before


def test_a_retry_that_comes_further(sqlite_store, redis, books):
    """The row is as of the last event that could be applied."""
    heal(books.path, books.changed, version=2)
    spoil(books.path, books.changed, version=3)
    ((_, error),) = retry(sqlite_store, live(redis), [books.changed])
    assert error
    assert b'"version":2' in redis.hget(live(redis).keys.rows, books.changed)
    assert kept(redis) == replayed(sqlite_store, redis)


def test_a_creation_that_cannot_be_applied(sqlite_store, redis, books):
    """Neither can what follows, until a retry applies all of it."""
    heal(books.path, books.changed, version=2)
    spoil(books.path, books.back)
    redis.flushall()
    caught_up(sqlite_store, redis)
    assert list(parked_in(live(redis))) == [books.back]
    assert not redis.hexists(live(redis).keys.rows, books.back)
    heal(books.path, books.back)
    assert list(retry(sqlite_store, live(redis), [books.back])) == [(books.back, None)]
    assert kept(redis) == books.whole


def test_a_projection_at_work_notices(sqlite_store, redis, books):
    """It knew the movie as parked; the next event of it is applied all the same."""
    write(sqlite_store, create(by=ANN))
    tail = caught_up(sqlite_store, redis)
    heal(books.path, books.changed, version=2)
    list(retry(sqlite_store, live(redis), [books.changed]))
    write(sqlite_store, update(books.ids[0], by=ANN, title="Aliens"))
    while not tail.process_batch():
        pass
    assert kept(redis) == replayed(sqlite_store, redis)


def test_a_movie_that_is_given_up(sqlite_store, redis, books):
    """It leaves the lists, its later events are passed over, and it is no problem any more."""
    assert discard(live(redis), books.changed)
    head = live(redis).read_state()
    assert (head.state, head.parked, head.dropped) == ("live", 0, 1)
    keys = live(redis).keys
    assert not redis.hexists(keys.rows, books.changed)
    assert redis.zscore(keys.years, books.changed) is None
    assert redis.zcard(keys.titles) == redis.hlen(keys.rows) == 4
    heal(books.path, books.changed, version=2)
    write(sqlite_store, update(books.ids[0], by=ANN, title="Aliens"))
    caught_up(sqlite_store, redis)
    assert not redis.hexists(keys.rows, books.changed)
    assert discard(live(redis), books.changed)
    assert live(redis).read_state().dropped == 1


def test_a_movie_that_was_given_up_is_taken_up_again(sqlite_store, redis, books):
    discard(live(redis), books.changed)
    heal(books.path, books.changed, version=2)
    assert list(retry(sqlite_store, live(redis), [books.changed])) == [(books.changed, None)]
    assert kept(redis) == books.whole


def test_one_that_is_not_parked_is_not_dropped(redis, books):
    before = kept(redis)
    assert not discard(live(redis), books.back)
    assert kept(redis) == before


def test_a_retry_that_dies(sqlite_store, redis, books):
    """It was carried out, or it was not; another one finds out."""
    heal(books.path, books.changed, version=2)
    copies = {key: redis.dump(key) for key in redis.keys("*")}
    lives = 0
    for died in every_death(
        redis, lambda dying: list(retry(sqlite_store, live(dying), [books.changed]))
    ):
        lives += died
        redis.hdel(live(redis).keys.state, "hold")
        list(retry(sqlite_store, live(redis), [books.changed]))
        assert kept(redis) == books.whole
        redis.flushall()
        for key, value in copies.items():
            redis.restore(key, 0, value)
    assert lives > 8


POISON = {
    "created by nobody": (1, {"by": None}),
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


@pytest.mark.parametrize("what", POISON)
@pytest.mark.parametrize("last", [False, True])
def test_poison_of_every_kind_stops_nothing_but_its_movie(
    sqlite_store, redis, tmp_path, what, last
):
    """Wherever it is in a batch, live and in a rebuild; retry and verify cope with it."""
    version, fields = POISON[what]
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
    before = kept(redis)
    assert not rebuild(sqlite_store, redis).diff.counts
    assert kept(redis) == before


def test_an_account_without_a_name(sqlite_store, redis, tmp_path):
    """Neither it nor its movies can be shown; everyone else's are."""
    books = library(sqlite_store)
    rewrite(tmp_path / "events.db", str(ANN), username={"x": 1})
    caught_up(sqlite_store, redis)
    assert str(ANN) in parked_in(live(redis))
    assert redis.hexists(live(redis).keys.rows, str(books.ids[3]))


JUNK = (b"x", b"", b"[]", b"{}", b"null", b'{"position":"1","type":1,"error":null}', b"\xff")


@pytest.mark.parametrize("value", JUNK)
def test_a_mark_that_cannot_be_read(sqlite_store, redis, books, value):
    """It parks all the same, and is written anew or taken out."""
    keys = live(redis).keys
    redis.hset(keys.parked, books.changed, value)
    assert parked_in(live(redis))[books.changed].error
    assert not verify(sqlite_store, redis).diff.counts
    redis.hset(keys.parked, "nobody", value)
    redis.hset(keys.parked, b"\xff", value)
    redis.hset(keys.state, "parked", 3)
    assert not next(iter(retry(sqlite_store, live(redis), ["nobody"])))[1]
    assert discard(live(redis), books.changed)
    assert parked_in(live(redis))[books.changed].dropped
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"parked": 1}
    assert not verify(sqlite_store, redis).diff.counts
    heal(books.path, books.changed, version=2)
    assert list(retry(sqlite_store, live(redis), [books.changed])) == [(books.changed, None)]
    assert set(kept(redis)) == set(books.whole)


def test_why_is_json(redis, books):
    """It stands in Redis for whoever looks there."""
    value = redis.hget(live(redis).keys.parked, books.changed)
    assert orjson.loads(value).keys() == {"position", "type", "error"}
