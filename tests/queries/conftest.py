"""A reader of the read model."""

import pytest

from projections.redis_client import open_async_redis
from queries.mirror.mirrors import Mirrors
from queries.pipelining import RequestBatcher
from queries.read_model import ReadModel


@pytest.fixture
async def async_redis(valkey, redis):
    client = open_async_redis(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def batcher(async_redis):
    batcher = RequestBatcher(async_redis)
    yield batcher
    await batcher.close()


@pytest.fixture
async def mirrors(batcher):
    mirrors = Mirrors(batcher)
    yield mirrors
    await mirrors.close()


@pytest.fixture
def reader(batcher, mirrors):
    return ReadModel(batcher, mirrors)
