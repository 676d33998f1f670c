"""A reader of the read model."""

import pytest

from projections.redis_client import open_async_redis
from queries.movies import ReadModel
from queries.pipelining import RequestBatcher


@pytest.fixture
async def async_redis(valkey, redis):
    client = open_async_redis(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def trips(async_redis):
    trips = RequestBatcher(async_redis)
    yield trips
    await trips.close()


@pytest.fixture
def reader(trips):
    return ReadModel(trips)
