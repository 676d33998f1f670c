"""A sentinel that does not answer costs one time limit."""

import socket
import time

import pytest
from redis.exceptions import RedisError

from projections.redis_client import open_redis


@pytest.mark.slow
def test_a_sentinel_that_does_not_answer_is_asked_once():
    """The next one is asked instead: with its host cut off, a failover took 17 s to be noticed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = open_redis(f"redis+sentinel://127.0.0.1:{port}/mymaster", retries=0)
        start = time.monotonic()
        with pytest.raises(RedisError):
            client.ping()
        assert time.monotonic() - start < 1.9
        client.close()
