"""Scripts of replays, repairs and point-in-time lists."""

import pytest

from projections.generation.state import REPLAYING, ROW_FORMAT
from projections.lua import arguments
from tests.read_side import Story, contents, make_live
from tests.scripts import call


@pytest.fixture
def keys(redis):
    story = Story()
    story.created(story.account())
    return make_live(redis, story).keys


def test_finish_replay(redis, keys):
    name = "projections.lua.rebuild.finish_replay"
    redis.hset(keys.state, mapping={"state": REPLAYING, "rows": 99})
    writes = arguments(keys, [("HSET", "days", ["2026-01-02:MovieCreated", 7])])
    assert call(redis, name, keys.lasting, 9, 8, "x:1:now", "now", "building", *writes) == 1
    assert redis.hgetall(keys.days) == {b"2026-01-02:MovieCreated": b"7"}
    fields = ("position", "events", "last", "at", "state", "rows")
    assert redis.hmget(keys.state, fields) == [b"9", b"8", b"x:1:now", b"now", b"building", b"1"]
    before = contents(redis, 1)
    assert call(redis, name, keys.lasting, 10, 9, "y", "then", "live") == 0
    assert contents(redis, 1) == before


def test_touch_list(redis, keys):
    name = "projections.lua.rebuild.touch_list"
    last = redis.hget(keys.state, "last")
    touched = keys.lasting
    assert call(redis, name, touched, 60, last, ROW_FORMAT) == 1
    assert all(0 < redis.ttl(key) <= 60 for key in keys.lasting if redis.exists(key))
    assert call(redis, name, touched, 60, "another log", ROW_FORMAT) == 0
    assert call(redis, name, touched, 60, last, 99) == 0
    redis.delete(keys.rows)
    assert call(redis, name, touched, 60, last, ROW_FORMAT) == 0


def test_note_use(redis):
    for position in (5, 7, 5):
        call(redis, "projections.lua.rebuild.note_use", ["lists"], position)
    assert redis.zrange("lists", 0, -1) == [b"7", b"5"]
    assert abs(redis.zscore("lists", "5") - redis.time()[0]) < 5


class Repair:
    name = "projections.lua.rebuild.repair"

    def __init__(self, redis, keys):
        seconds, microseconds = redis.time()
        self.until_ms = seconds * 1000 + microseconds // 1000 + 1000
        redis.hset(keys.state, "hold", self.until_ms)
        self.keys = keys.lasting
        self.writes = arguments(keys, [("HSET", "users", ["u", "Ann"])])

    def run(self, redis, position=2, until_ms=None):
        return call(redis, self.name, self.keys, position, until_ms or self.until_ms, *self.writes)


def test_repair(redis, keys):
    redis.set(keys.deleted, "of another type")
    assert Repair(redis, keys).run(redis) == 1
    assert redis.hget(keys.users, "u") == b"Ann"
    assert redis.hmget(keys.state, "users", "mends") == [b"2", b"1"]
    assert not redis.exists(keys.deleted)


def test_repair_replaces_a_corrupt_epoch_by_a_new_one(redis, keys):
    redis.hset(keys.state, "mends", "junk")
    assert Repair(redis, keys).run(redis) == 1
    assert abs(int(redis.hget(keys.state, "mends")) - redis.time()[0]) < 5


@pytest.mark.parametrize("fault", ["position", "another pause", "late"])
def test_repair_refuses_a_pause_that_has_ended(redis, keys, fault):
    repair = Repair(redis, keys)
    if fault == "late":
        repair.until_ms -= 5000
        redis.hset(keys.state, "hold", repair.until_ms)
    before = contents(redis, 1)
    other = {"position": {"position": 1}, "another pause": {"until_ms": repair.until_ms + 1}}
    assert repair.run(redis, **other.get(fault, {})) == 0
    assert contents(redis, 1) == before
