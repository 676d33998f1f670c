"""A Redis in an older state: neither a replaced generation nor an earlier position is shown."""

import fcntl
import sqlite3
from contextlib import closing

import pytest

from commands.errors import ReadModelUnavailableError
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.keys import LIVE, READ_MODEL
from projections.rebuild.rebuild import rebuild
from projections.redis_client import open_async_redis
from queries.mirror.mirrors import Mirrors
from queries.movie_query import MovieQuery
from queries.pipelining import RequestBatcher
from queries.position.read_floor import ReadFloor
from queries.read_model import ReadModel
from tests.controls import ANN, create, register
from tests.running import eventually


@pytest.fixture
def log(sqlite_store):
    commit(sqlite_store, [register(ANN), create()])
    return sqlite_store


@pytest.fixture
async def worker(valkey, redis, log):
    """Return a function that makes the reader of another API process."""
    client = open_async_redis(valkey.url)
    batcher = RequestBatcher(client)
    made = []

    async def remembered(read_model):
        return log.floor(read_model)

    def new(floor=remembered):
        made.append(Mirrors(batcher))
        return ReadModel(batcher, made[-1], floor=ReadFloor(floor))

    yield new
    for mirrors in made:
        await mirrors.close()
    await batcher.close()
    await client.aclose()


def caught_up(subscription):
    while not subscription.process_batch():
        pass


def state_of(redis):
    """Return all that Redis stores, as a replica that lags has it."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


def fail_over(redis, state):
    redis.flushall()
    for key, value in state.items():
        redis.restore(key, 0, value)


async def position_of(reader):
    return (await reader.page(MovieQuery())).position


def test_a_floor_only_rises(store):
    """The floor of one read model says nothing of others."""
    for number, expected in ((3, 3), (2, 3), (7, 7)):
        store.raise_floor("mine", number)
        assert store.floor("mine") == expected
    assert store.floor("another") == 0


def test_a_store_of_an_earlier_release_has_no_floor(sqlite_store, tmp_path):
    """Its table is created by the first command of this release that may create."""
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        connection.execute("DROP TABLE cinelog_read_models")
    assert sqlite_store.floor("mine") == 0
    Store.open(f"sqlite:///{tmp_path}/events.db").close()
    sqlite_store.raise_floor("mine", 3)


@pytest.mark.anyio
async def test_a_replaced_generation_does_not_come_back(redis, log, worker):
    """A rebuild may have corrected it: another one is built."""
    caught_up(Subscription(log, redis))
    before = state_of(redis)
    reader = worker()
    await reader.page(MovieQuery())
    rebuild(log, redis)
    await reader.page(MovieQuery())
    fail_over(redis, before)
    assert lifecycle.live_number(redis) == 1
    for one in (worker(), reader):  # one that starts now, one that has read the newer generation
        with pytest.raises(ReadModelUnavailableError, match="older state"):
            await one.page(MovieQuery())
    caught_up(Subscription(log, redis))
    assert lifecycle.live_number(redis) == 3
    assert await position_of(reader) == log.head()


def test_a_projection_that_missed_the_newer_generation_finds_out(redis, log):
    """It was stopped while a rebuild and the failover happened."""
    subscription = Subscription(log, redis)
    caught_up(subscription)
    before = state_of(redis)
    rebuild(log, redis)
    fail_over(redis, before)
    eventually(lambda: subscription.process_batch() and lifecycle.live_number(redis) == 3)


@pytest.mark.anyio
async def test_a_process_answers_no_earlier_position(redis, log, worker):
    """Of the same generation, it waits until the projection has caught up."""
    caught_up(Subscription(log, redis))
    before = state_of(redis)
    commit(log, [create()])
    caught_up(Subscription(log, redis))
    reader = worker()
    assert await position_of(reader) == log.head()
    fail_over(redis, before)
    with pytest.raises(ReadModelUnavailableError):
        await reader.page(MovieQuery())
    caught_up(Subscription(log, redis))
    assert lifecycle.live_number(redis) == 1
    assert await position_of(reader) == log.head()


@pytest.mark.anyio
async def test_a_wiped_redis_begins_a_new_read_model(redis, log, worker):
    """Its numbers begin at 1, which processes that read higher ones accept."""
    caught_up(Subscription(log, redis))
    rebuild(log, redis)
    reader = worker()
    await reader.page(MovieQuery())
    first = redis.get(READ_MODEL)
    redis.flushall()
    caught_up(Subscription(log, redis))
    assert redis.get(READ_MODEL) != first
    assert lifecycle.live_number(redis) == 1
    assert await position_of(reader) == log.head()


def test_a_building_generation_below_the_floor_is_not_continued(redis, log):
    caught_up(Subscription(log, redis))
    lifecycle.begin(redis, above=1)
    before = state_of(redis)
    for _ in range(2):
        rebuild(log, redis)
    fail_over(redis, before)
    redis.delete(LIVE)
    caught_up(Subscription(log, redis))
    assert lifecycle.live_number(redis) > 3


def test_a_floor_that_could_not_be_stored_is_stored_later(redis, log, tmp_path):
    """The projection goes on meanwhile."""
    subscription = Subscription(log, redis)
    with (tmp_path / "events.db-turn").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        caught_up(subscription)
        read_model = redis.get(READ_MODEL).decode()
        assert log.floor(read_model) == 0
    eventually(lambda: subscription.process_batch() and log.floor(read_model) == 1)
