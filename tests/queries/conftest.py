"""Fixtures of the read side, and a reader."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "projections"))

from read_side import own_valkey, redis, story, valkey

from projections.connection import open_async_redis
from queries.movies import ReadModel
from queries.round_trips import RoundTrips

__all__ = ["own_valkey", "redis", "story", "valkey"]


@pytest.fixture
async def async_redis(valkey, redis):
    client = open_async_redis(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def trips(async_redis):
    trips = RoundTrips(async_redis)
    yield trips
    await trips.close()


@pytest.fixture
def reader(trips):
    return ReadModel(trips)
