"""Pipelining: concurrent commands share a round trip; an error affects one caller only."""

import asyncio

import pytest
from redis.exceptions import DataError, ResponseError

from commands.errors import BusyError, ReadModelUnavailableError
from projections.lua import Script
from projections.redis_client import open_async_redis
from queries.pipelining import RequestBatcher

pytestmark = pytest.mark.anyio

ECHO = Script("return ARGV[1]", shareable=True)
COUNT = Script("return redis.call('INCR', KEYS[1])")


class Counting:
    """A client that counts the pipelines it sends, and the commands in them."""

    def __init__(self, redis):
        self._redis = redis
        self.sent = []

    def pipeline(self, **kwargs):
        pipeline = self._redis.pipeline(**kwargs)
        execute = pipeline.execute

        async def counted(**kwargs):
            self.sent.append(len(pipeline.command_stack))
            return await execute(**kwargs)

        pipeline.execute = counted
        return pipeline


@pytest.fixture
def counting(async_redis):
    return Counting(async_redis)


async def test_concurrent_commands_share_one_pipeline(counting, redis):
    """Each caller gets its own answer."""
    for number in range(50):
        redis.set(f"k{number}", number)
    batcher = RequestBatcher(counting)
    answers = await asyncio.gather(*(batcher.call("GET", f"k{number}") for number in range(50)))
    assert answers == [b"%d" % number for number in range(50)]
    assert counting.sent == [50]


async def test_commands_sent_during_a_flush_share_the_next_one(counting, redis):
    batcher = RequestBatcher(counting)
    first = asyncio.create_task(batcher.call("GET", "a"))
    while not counting.sent:  # noqa: ASYNC110 - a flush does not signal that it is sent
        await asyncio.sleep(0)
    await asyncio.gather(first, *(batcher.call("GET", key) for key in "bcd"))
    assert counting.sent == [1, 3]


async def test_equal_reads_are_sent_once(counting, redis):
    """Scripts that are marked as shareable count as reads."""
    redis.set("a", "x")
    batcher = RequestBatcher(counting)
    calls = [batcher.call("GET", "a") for _ in range(10)]
    calls += [batcher.script(ECHO, [], ["y"]) for _ in range(10)]
    assert await asyncio.gather(*calls) == [b"x"] * 10 + [b"y"] * 10
    assert counting.sent[0] == 2


async def test_writes_are_never_shared(batcher, redis):
    calls = [batcher.call("INCR", "a") for _ in range(5)]
    calls += [batcher.script(COUNT, ["a"]) for _ in range(5)]
    assert sorted(await asyncio.gather(*calls)) == list(range(1, 11))


async def test_a_bad_command_fails_only_its_caller(batcher, redis):
    """Redis refuses it, the client cannot encode it, or its caller is cancelled."""
    redis.set("a", "x")
    cancelled = asyncio.create_task(batcher.call("GET", "a"))
    calls = [
        batcher.call("GET", "a"),
        batcher.call("HGET", "a", "x"),
        batcher.call("NONSENSE"),
        batcher.call("GET", None),
        batcher.call("GET", "\udc80"),
        batcher.call("GET", "a"),
    ]
    await asyncio.sleep(0)
    cancelled.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answers[0], answers[5]] == [b"x", b"x"]
    assert [type(answer) for answer in answers[1:5]] == [
        ResponseError,
        ResponseError,
        DataError,
        UnicodeEncodeError,
    ]


async def test_a_cancelled_caller_does_not_affect_a_shared_read(batcher, redis):
    redis.set("a", "x")
    first, second = (asyncio.create_task(batcher.call("GET", "a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"x"


async def test_a_flushed_script_is_sent_again(batcher, redis):
    assert await batcher.script(ECHO, [], ["a"]) == b"a"
    redis.script_flush()
    calls = [batcher.script(ECHO, [], [text]) for text in "abc"]
    assert await asyncio.gather(*calls) == [b"a", b"b", b"c"]


async def test_an_unreachable_redis_fails_all_waiting_commands(own_valkey):
    """Commands succeed again once Redis is back."""
    client = open_async_redis(own_valkey.url)
    batcher = RequestBatcher(client)
    await batcher.call("SET", "a", "x")
    own_valkey.stop()
    calls = [batcher.call("GET", key) for key in "aabc"]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ReadModelUnavailableError] * 4
    assert len(set(map(id, answers))) == 4
    own_valkey.start()
    assert await batcher.call("GET", "a") is None
    await batcher.close()
    await client.aclose()


async def test_a_redis_that_refuses_writes_is_unavailable(batcher, redis):
    """An error of the server's state is not an error of the caller."""
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ReadModelUnavailableError):
            await batcher.call("SET", "a", "x")
    finally:
        redis.config_set("maxmemory", 0)


async def test_the_number_of_waiting_commands_is_bounded(async_redis):
    batcher = RequestBatcher(async_redis, limit=3)
    calls = [batcher.call("GET", f"k{number}") for number in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * 3 + [BusyError] * 2
    assert await batcher.call("GET", "a") is None


async def test_closing_fails_all_waiting_commands(async_redis):
    batcher = RequestBatcher(async_redis)
    waiting = asyncio.create_task(batcher.call("BLPOP", "nothing", 10))
    await asyncio.sleep(0.05)
    later = asyncio.create_task(batcher.call("GET", "a"))
    await asyncio.sleep(0)
    await batcher.close()
    answers = await asyncio.gather(waiting, later, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ReadModelUnavailableError] * 2
    with pytest.raises(ReadModelUnavailableError):
        await batcher.call("GET", "a")


async def test_many_commands_are_sent_in_several_flushes(counting):
    batcher = RequestBatcher(counting)
    await asyncio.gather(*(batcher.call("GET", f"k{number}") for number in range(1000)))
    assert counting.sent == [512, 488]
