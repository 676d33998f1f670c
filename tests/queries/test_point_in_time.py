"""A point-in-time list equals the list that was shown at its position."""

import asyncio
import random
import sys

import pytest

from commands.aggregates.movie import Movie
from commands.errors import ReadModelUnavailableError
from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.generation import lifecycle
from projections.generation.state import event_name_at
from projections.keys import POINT_IN_TIME, POINT_IN_TIME_LEASE, Keys
from projections.rebuild import point_in_time, replay
from projections.rebuild.point_in_time import build
from queries.admission.slots import Slots
from queries.movie_query import parse_query
from queries.movies import read_page
from queries.point_in_time import Builder, PointInTimeLists, PointInTimeReadModel
from tests.controls import ANN, BOB, create, delete, new_id, register, revert, update
from tests.library import caught_up, library, write
from tests.projections.faulty import DiedError, Dying, every_death

pytestmark = pytest.mark.anyio

QUERIES = [
    parse_query({name: [value] for name, value in params.items()})
    for params in (
        {},
        {"ordering": "title"},
        {"ordering": "-year", "page_size": "3"},
        {"page": "last", "page_size": "2"},
        {"title": "al"},
        {"creator__username": "zoë", "year__gte": "1980", "ordering": "year"},
        {"search": "drama", "page_size": "1"},
    )
]


async def read_pages(reader):
    """Return a page of each query."""
    return [await read_page(reader, query) for query in QUERIES]


def reader_at(reader, position):
    return PointInTimeReadModel(reader, position)


def random_change(rng, movie, by):
    """Return a random command that changes a movie."""
    if movie.deleted:
        return revert(movie.id, by=by)
    return rng.choice(
        [
            delete(movie.id, by=by),
            update(movie.id, by=by, title=rng.choice(["Alive", "Small"])),
            update(movie.id, by=by, genre="Drama", year=rng.randint(1970, 1990)),
        ]
    )


async def test_a_point_in_time_list_equals_the_list_shown_then(
    sqlite_store, redis, reader, monkeypatch
):
    """This holds at every position of a random log, for all filters, pages and orderings."""
    monkeypatch.setattr(replay, "BATCH", 8)
    rng = random.Random(5)
    write(sqlite_store, register(ANN, username="ann"), register(BOB, username="Zoë"))
    ids = {new_id(): (ANN, BOB)[number % 2] for number in range(10)}
    pages = {}
    subscription = caught_up(sqlite_store, redis)
    for key, by in ids.items():
        write(sqlite_store, create(key, by=by, title=rng.choice(["Alien", "Élan", "Big"])))
    for _ in range(30):
        key, by = rng.choice(list(ids.items()))
        write(sqlite_store, random_change(rng, sqlite_store.get(Movie, key), by))
        while not subscription.process_batch():
            pass
        pages[subscription.position] = await read_pages(reader)
    for few in (0, 1000):
        monkeypatch.setattr(replay, "MAX_SORTED", few)
        redis.flushall()
        for position, page in pages.items():
            assert build(sqlite_store, redis, position)
            assert await read_pages(reader_at(reader, position)) == page


async def test_an_incomplete_list_is_not_shown(sqlite_store, redis, reader, monkeypatch):
    """The build is unfinished, or the list has lost a part."""
    library(sqlite_store)
    monkeypatch.setattr(replay, "BATCH", 4)
    dying = Dying(redis, 30)
    with pytest.raises(DiedError):
        build(sqlite_store, dying, 10)
    assert redis.keys("{movies:-10}:*")
    with pytest.raises(ReadModelUnavailableError):
        await read_page(reader_at(reader, 10), QUERIES[0])
    redis.delete(POINT_IN_TIME_LEASE)
    assert build(sqlite_store, redis, 10)
    assert (await read_page(reader_at(reader, 10), QUERIES[0])).position == 10
    redis.delete(Keys(-10).rows)
    with pytest.raises(ReadModelUnavailableError):
        await read_page(reader_at(reader, 10), QUERIES[0])
    assert build(sqlite_store, redis, 10)
    assert (await read_page(reader_at(reader, 10), QUERIES[0])).count == 4


def test_only_the_last_used_lists_are_kept(sqlite_store, redis):
    """Each list expires some minutes after its last use."""
    library(sqlite_store)
    for position in (1, 2, 3):
        redis.zadd(POINT_IN_TIME, {position: position})
        build(sqlite_store, redis, position)
    for number, position in enumerate((2, 3, 1)):
        redis.zadd(POINT_IN_TIME, {position: number})
    build(sqlite_store, redis, 4)
    assert {int(one) for one in redis.zrange(POINT_IN_TIME, 0, -1)} == {1, 3, 4}
    kept = redis.keys("{movies:-*}:*")
    assert {key.split(b"}")[0] for key in kept} == {b"{movies:-1", b"{movies:-3", b"{movies:-4"}
    assert all(
        point_in_time.LIST_TTL_S - 5 < redis.ttl(key) <= point_in_time.LIST_TTL_S for key in kept
    )


def test_kept_lists_are_bounded_by_their_rows(sqlite_store, redis, monkeypatch):
    monkeypatch.setattr(point_in_time, "MAX_OTHER_ROWS", 8)
    library(sqlite_store)
    for position in (12, 11, 10):
        build(sqlite_store, redis, position)
    assert {int(one) for one in redis.zrange(POINT_IN_TIME, 0, -1)} == {10, 11}


def test_an_existing_list_is_not_rebuilt(sqlite_store, redis):
    library(sqlite_store)
    build(sqlite_store, redis, 9)
    redis.hset(Keys(-9).users, "mark", "x")
    assert build(sqlite_store, redis, 9)
    assert redis.hexists(Keys(-9).users, "mark")


def test_only_one_build_at_a_time(sqlite_store, redis):
    """The limit holds for all processes and machines."""
    other = Lease(redis, key=POINT_IN_TIME_LEASE)
    assert other.acquire_or_renew()
    assert not build(sqlite_store, redis, 0)
    other.release()
    assert build(sqlite_store, redis, 0)


def test_remains_of_a_killed_build_expire(sqlite_store, redis):
    """The next build may remove them earlier."""
    library(sqlite_store)
    deaths = 0
    for died in every_death(redis, lambda dying: build(sqlite_store, dying, 10)):
        deaths += died
        redis.delete(POINT_IN_TIME_LEASE)
        assert build(sqlite_store, redis, 5)
        left = redis.keys("{movies:-10}:*")
        assert not left or redis.hget(Keys(-10).state, "state") == b"live"
        assert all(redis.ttl(key) > 0 for key in left)
        redis.flushall()
    assert deaths > 20


@pytest.fixture
async def lists(reader, valkey, tmp_path):
    """Lists that a subprocess builds, as in the service."""
    url = f"sqlite:///{tmp_path}/events.db"
    argv = [sys.executable, "-m", "projections.rebuild.point_in_time"]
    slots = Slots(tmp_path / "slots.lock")
    lists = PointInTimeLists(reader, Builder(argv, {}, url, valkey.url), slots)
    lists.reader = reader
    yield lists
    await lists.close()
    slots.close()


async def test_requests_wait_for_the_build_of_their_list(sqlite_store, redis, lists):
    """Lists of different positions may be requested at once."""
    library(sqlite_store)
    readers = await asyncio.gather(
        *(
            lists.at(position, event_name_at(sqlite_store, position), account)
            for position, account in ((9, "ann"), (12, "bob"), (9, "ann"))
        )
    )
    pages = [await read_page(reader, QUERIES[0]) for reader in readers]
    assert [page.position for page in pages] == [9, 12, 9]
    assert [page.count for page in pages] == [3, 6, 3]
    assert not redis.exists(POINT_IN_TIME_LEASE)


async def test_a_list_of_another_log_is_rebuilt(sqlite_store, redis, lists, tmp_path):
    """A log that was set back and continued may have the same movie and version at the position."""
    books = library(sqlite_store)
    last = sqlite_store.head()
    backup = Store.open(f"sqlite:///{tmp_path}/backup.db")
    backup.restore([sqlite_store.read_raw(0, last, last)])
    for store, title in ((backup, "Then"), (sqlite_store, "Now")):
        write(store, update(books.ids[0], by=ANN, title=title))
    position = last + 1
    assert build(backup, redis, position)
    page = await read_page(reader_at(lists.reader, position), parse_query({"title": ["then"]}))
    assert page.count == 1
    reader = await lists.at(position, event_name_at(sqlite_store, position))
    assert (await read_page(reader, parse_query({"title": ["then"]}))).count == 0
    assert (await read_page(reader, parse_query({"title": ["now"]}))).count == 1
    backup.close()


async def test_remains_of_an_earlier_list_are_not_mixed_in(
    sqlite_store, redis, reader, removed_in_steps
):
    """They are removed in steps, also by other processes; the new list is not affected."""
    library(sqlite_store)
    write(sqlite_store, *(create(by=ANN) for _ in range(60)))
    head = sqlite_store.head()
    assert build(sqlite_store, redis, head)
    lifecycle.drop(redis, -head)
    others = lifecycle.sweep(redis)
    next(others)
    assert redis.exists(Keys(-head).users)
    assert build(sqlite_store, redis, head)
    for _ in (*others, *lifecycle.sweep(redis)):
        pass
    assert (await read_page(reader_at(reader, head), QUERIES[0])).count == 65
    assert redis.hlen(Keys(-head).rows) == 65


async def test_a_long_wait_fails_with_retry_after(sqlite_store, redis, lists, monkeypatch):
    """Another machine builds a list in the meantime."""
    monkeypatch.setattr("queries.point_in_time.WAIT_S", 0.2)
    redis.set(POINT_IN_TIME_LEASE, "elsewhere:1:x")
    with pytest.raises(ReadModelUnavailableError) as waited:
        await lists.at(0, "")
    assert waited.value.retry_after_s == 2


async def test_a_failed_build_is_reported_as_unavailable(redis, reader, monkeypatch, tmp_path):
    monkeypatch.setattr("queries.point_in_time.WAIT_S", 0.2)
    slots = Slots(tmp_path / "slots.lock")
    lists = PointInTimeLists(reader, Builder([sys.executable, "-c", "exit(1)"], {}, "", ""), slots)
    with pytest.raises(ReadModelUnavailableError):
        await lists.at(0, "")
    await lists.close()


async def test_closing_ends_the_build(sqlite_store, redis, lists):
    library(sqlite_store)
    building = asyncio.create_task(lists.at(10, event_name_at(sqlite_store, 10)))
    await asyncio.sleep(0.05)
    building.cancel()
    await asyncio.wait([building])
    await lists.close()
    await asyncio.sleep(0.3)
    assert not redis.keys("{movies:-10}:*")


async def test_an_account_gets_one_build_at_a_time(sqlite_store, redis, lists, monkeypatch):
    """Requests for other lists are refused at once and may be repeated."""
    library(sqlite_store)
    started, build_one = [], lists._build

    async def counted(position):
        started.append(position)
        await build_one(position)

    monkeypatch.setattr(lists, "_build", counted)
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(
        *(lists.at(n % 10 + 1, event_name_at(sqlite_store, n % 10 + 1), "ann") for n in range(40)),
        return_exceptions=True,
    )
    refused = [one for one in answers if isinstance(one, ReadModelUnavailableError)]
    assert (len(started), len(refused)) == (1, 36)
    assert all(one.retry_after_s == 2 for one in refused)
    assert asyncio.get_running_loop().time() - began < 4
    await lists.at(10, event_name_at(sqlite_store, 10), "ann")


async def test_one_process_builds_per_machine(sqlite_store, redis, reader, lists, tmp_path):
    """Other workers wait for it."""
    library(sqlite_store)
    slots = lists._slots
    slots.take("past list", "", 1)
    lists._begin(9)
    assert lists._building is None
