"""Scripts of sessions and rate limits."""

import pytest

from projections.lua import load_script
from tests.scripts import call

SESSION = ["{s}:session", "{s}:successor"]
OUTCOMES = {"UNKNOWN": 0, "ROTATED": 1, "REUSED": 2}


@pytest.fixture
def session(redis):
    call(
        redis, "service.auth.lua.open_session", SESSION[:1], "ann", "first", 100.5, 60, "a browser"
    )


def rotate(redis, token, *, account="ann", answer="sealed"):
    args = [account, token, f"after {token}", answer, 200, 90, 10]
    name = "service.auth.lua.rotate_token"
    return call(redis, name, SESSION, *args, constants=OUTCOMES)


def is_usable(redis, token, account="ann"):
    return call(redis, "service.auth.lua.is_usable", SESSION, account, token)


def test_open_session(redis, session):
    fields = {b"account": b"ann", b"jti": b"first", b"opened_at": b"100.5"}
    fields[b"device"] = b"a browser"
    assert redis.hgetall(SESSION[0]) == fields
    assert 0 < redis.ttl(SESSION[0]) <= 60


def test_rotate_token(redis, session):
    assert rotate(redis, "first") == [1, b"sealed"]
    fields = redis.hmget(SESSION[0], "jti", "previous", "refreshed_at")
    assert fields == [b"after first", b"first", b"200"]
    assert 60 < redis.ttl(SESSION[0]) <= 90
    assert 0 < redis.ttl(SESSION[1]) <= 10


def test_rotate_token_again_in_the_grace_period(redis, session):
    """The answer is the one given before."""
    rotate(redis, "first")
    assert rotate(redis, "first", answer="another") == [1, b"sealed"]
    redis.delete(SESSION[1])
    assert rotate(redis, "first") == [2]
    assert not redis.exists(*SESSION)


def test_rotate_token_that_was_used_ends_the_session(redis, session):
    rotate(redis, "first")
    rotate(redis, "after first")
    assert rotate(redis, "first") == [2]
    assert not redis.exists(*SESSION)


def test_rotate_token_of_another_account_changes_nothing(redis, session):
    before = redis.hgetall(SESSION[0])
    assert rotate(redis, "first", account="bob") == [0]
    assert redis.hgetall(SESSION[0]) == before
    redis.flushall()
    assert rotate(redis, "first") == [0]


def test_is_usable(redis, session):
    assert (is_usable(redis, "first"), is_usable(redis, "other")) == (1, 0)
    assert is_usable(redis, "first", account="bob") == 0
    rotate(redis, "first")
    assert (is_usable(redis, "first"), is_usable(redis, "after first")) == (1, 1)
    redis.delete(SESSION[1])
    assert (is_usable(redis, "first"), is_usable(redis, "after first")) == (0, 1)


def test_count_hits(redis):
    name = "service.ratelimit.lua.count_hits"
    count, left_ms = call(redis, name, ["limits:x"], 2, 60_000)
    assert count == 2
    assert 0 < left_ms <= 60_000
    redis.pexpire("limits:x", 1_000)
    count, left_ms = call(redis, name, ["limits:x"], 3, 60_000)
    assert count == 5
    assert 0 < left_ms <= 1_000


def test_forget_sessions(redis):
    redis.mset({f"auth:session:{number}": 1 for number in range(3_000)})
    redis.set("movies:live", 1)
    assert load_script("service.embedded_redis.lua.forget_sessions").run(redis, []) == b"OK"
    assert redis.keys("*") == [b"movies:live"]
