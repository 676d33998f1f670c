"""Read position: every process tracks the read model and wakes the requests that wait for it."""

import asyncio

import pytest
import structlog

from projections.generation import lifecycle
from projections.generation.writer import GenerationWriter
from projections.redis_client import open_async_redis, open_redis
from queries.position.read_position import ReadPosition
from tests.read_side import Story, apply, make_live

pytestmark = pytest.mark.anyio


@pytest.fixture
def account_story():
    """A story with an account: position 1."""
    story = Story()
    story.account()
    return story


@pytest.fixture
async def feed(async_redis):
    feed = ReadPosition(async_redis)
    await feed.start()
    yield feed
    await feed.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition sends no signal
            await asyncio.sleep(0.001)


def kill_subscriptions(redis):
    """Close every pub/sub connection."""
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def test_tracking_starts_from_the_checkpoint(redis, async_redis, account_story):
    view = make_live(redis, account_story)
    feed = ReadPosition(async_redis)
    assert (feed.connected, feed.current) == (False, (0, 0))
    await feed.start()
    assert (feed.connected, feed.current) == (True, (view.number, 1))
    assert await feed.wait_for(1, 0)
    await feed.stop()
    assert not feed.connected


async def test_a_late_message_with_an_earlier_position_is_ignored(redis, feed, account_story):
    """A generation may go live while the projection applies more events to it."""
    view = make_live(redis, account_story)
    await until(lambda: feed.current == (view.number, 1))
    for position in (7, 5, 6):
        redis.publish("movies:position", f"{view.number}:{position}")
    redis.publish("movies:position", f"{view.number + 1}:3")
    await until(lambda: feed.current[0] == view.number + 1)
    assert feed.current[1] == 3
    redis.publish("movies:position", f"{view.number + 1}:9")
    redis.publish("movies:position", f"{view.number + 1}:4")
    redis.publish("movies:position", f"{view.number + 1}:8")
    await until(lambda: feed.current[1] != 3)
    assert feed.current[1] == 9
    assert await feed.wait_for(9, 0.05)


async def test_a_waiting_request_is_woken_by_its_position(redis, feed, account_story):
    """Requests for a later position keep waiting."""
    view = make_live(redis, account_story)
    await until(lambda: feed.current == (view.number, 1))
    waiting = {n: asyncio.create_task(feed.wait_for(n, 5)) for n in (3, 2, 4, 2)}
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in waiting.values())
    account_story.created(account_story.events[0].stream_id)
    account_story.claimed()
    apply(view, account_story)
    assert await waiting[2]
    assert await waiting[3]
    assert not waiting[4].done()
    account_story.claimed()
    apply(view, account_story)
    assert await waiting[4]


async def test_a_wait_times_out(redis, feed, account_story):
    """It returns False, and expired waits are removed."""
    make_live(redis, account_story)
    answers = await asyncio.gather(*(feed.wait_for(99, 0.01) for _ in range(500)))
    assert answers == [False] * 500
    assert len(feed._waiting) <= 64


async def test_a_cancelled_wait_is_removed(redis, feed, account_story):
    make_live(redis, account_story)
    task = asyncio.create_task(feed.wait_for(2, 5))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert feed._alive == 0


async def test_the_number_of_waits_is_bounded(async_redis, redis, account_story):
    """Beyond the limit a request is answered at once."""
    make_live(redis, account_story)
    feed = ReadPosition(async_redis, limit=1)
    await feed.start()
    first = asyncio.create_task(feed.wait_for(2, 5))
    await asyncio.sleep(0)
    assert not await feed.wait_for(2, 5)
    assert await feed.wait_for(1, 5)
    await feed.stop()
    assert not await first


async def test_a_broken_connection_is_reestablished(redis, feed, account_story):
    """A position that was published in the meantime is read from the generation's state."""
    view = make_live(redis, account_story)
    await until(lambda: feed.current[1] == 1)
    for _ in range(3):
        account_story.claimed()
        position = len(account_story.events)
        waiting = asyncio.create_task(feed.wait_for(position, 5))
        await asyncio.sleep(0)
        kill_subscriptions(redis)
        apply(view, account_story)
        assert await waiting
        assert feed.current == (view.number, position)


@pytest.mark.slow
async def test_an_unavailable_redis_ends_waits_at_once(own_valkey, account_story):
    """When Redis is back, its position is read again."""
    client, redis = open_async_redis(own_valkey.url), open_redis(own_valkey.url)
    make_live(redis, account_story)
    feed = ReadPosition(client)
    await feed.start()
    own_valkey.stop()
    with structlog.testing.capture_logs() as logs:
        await until(lambda: not feed.connected)
        assert not await feed.wait_for(1, 60)
        await asyncio.sleep(0.5)
    assert len(logs) == 1  # for any number of attempts
    own_valkey.start()
    await until(lambda: feed.connected)
    assert feed.current == (0, 0)
    make_live(redis, account_story)
    assert await feed.wait_for(1, 5)
    await feed.stop()
    await client.aclose()
    redis.close()


async def test_tracking_starts_without_redis(tmp_path):
    """A service can start before its Redis does."""
    client = open_async_redis(f"unix://{tmp_path}/none")
    feed = ReadPosition(client)
    with structlog.testing.capture_logs():
        await feed.start()
        assert not await feed.wait_for(1, 60)
        await feed.stop()
    await client.aclose()


async def test_positions_of_an_unfinished_generation_are_ignored(redis, feed, account_story):
    """They wake no request until the generation is live."""
    building = lifecycle.begin(redis)
    building.apply(account_story.events, 0)
    waiting = asyncio.create_task(feed.wait_for(1, 5))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    lifecycle.go_live(redis, building)
    assert await waiting


async def test_tracking_follows_a_switch_of_generations(redis, feed, account_story):
    old = make_live(redis, account_story)
    await until(lambda: feed.current == (old.number, 1))
    new = GenerationWriter(redis, old.number + 1)
    new.create()
    apply(new, account_story)
    lifecycle.go_live(redis, new)
    await until(lambda: feed.current == (new.number, 1))


async def test_a_malformed_message_does_not_end_tracking(redis, feed, account_story):
    view = make_live(redis, account_story)
    with structlog.testing.capture_logs():
        redis.publish("movies:position", "nonsense")
        await until(lambda: feed.current == (view.number, 1))
        account_story.claimed()
        apply(view, account_story)
        await until(lambda: feed.current == (view.number, 2))


async def test_stopping_leaves_no_task(redis, async_redis, account_story):
    """A request is waiting, and the second call does nothing."""
    before = asyncio.all_tasks()
    feed = ReadPosition(async_redis)
    await feed.start()
    waiting = asyncio.create_task(feed.wait_for(9, 60))
    await asyncio.sleep(0)
    await feed.stop()
    await feed.stop()
    assert not await waiting
    assert asyncio.all_tasks() == before
