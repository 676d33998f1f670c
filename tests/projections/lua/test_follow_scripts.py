"""Leases and the announcement of row formats."""

import pytest

from tests.scripts import call


def test_acquire_lease(redis):
    name = "projections.lua.follow.acquire_lease"
    assert call(redis, name, ["lease"], "a", "", 5000) == b"a"
    assert 0 < redis.pttl("lease") <= 5000
    assert call(redis, name, ["lease"], "b", "", 5000) == b"a"
    assert call(redis, name, ["lease"], "a", "", 9000) == b"a"
    assert redis.pttl("lease") > 5000
    assert call(redis, name, ["lease"], "b", "x", 5000) == b"a"
    assert call(redis, name, ["lease"], "b", "a", 5000) == b"b"


@pytest.mark.parametrize("announced", [None, "7", "6", "junk", ""])
def test_announce_format_replaces_an_older_one(redis, announced):
    if announced is not None:
        redis.set("format", announced)
    assert call(redis, "projections.lua.follow.announce_format", ["format"], 7, 5000) == 7
    assert redis.get("format") == b"7"
    assert 0 < redis.pttl("format") <= 5000


def test_announce_format_leaves_a_newer_one(redis):
    redis.set("format", "8")
    assert call(redis, "projections.lua.follow.announce_format", ["format"], 7, 5000) == 8
    assert redis.get("format") == b"8"


def test_delete_if_equal(redis):
    name = "projections.lua.follow.delete_if_equal"
    redis.set("key", "a")
    assert call(redis, name, ["key"], "b") == 0
    assert call(redis, name, ["key"], "a") == 1
    assert call(redis, name, ["key"], "a") == 0
    redis.hset("key", "a", "a")
    assert call(redis, name, ["key"], "a") == 0
    assert redis.exists("key")
