"""Fixtures for accounts and tokens: an empty Redis, settings, keys, tokens."""

import pytest
import redis

from service.auth.signing_keys import load_keys
from service.auth.tokens import Tokens
from service.settings import Settings
from tests.service.auth.auth_controls import running_redis


@pytest.fixture(scope="session")
def auth_redis_url():
    with running_redis() as (_, url):
        yield url


@pytest.fixture
def auth_redis(auth_redis_url):
    """An empty Redis."""
    with redis.Redis.from_url(auth_redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def auth_settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def auth_keys(auth_settings):
    return load_keys(auth_settings.signing_keys)


@pytest.fixture
def auth_tokens(auth_keys, auth_settings):
    return Tokens(auth_keys, auth_settings)
