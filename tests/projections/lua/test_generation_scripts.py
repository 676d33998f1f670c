"""Scripts that change or read one generation."""

import pytest

from projections.generation.state import CONSTANTS, LIVE, ROW_FORMAT
from projections.lua import arguments
from tests.read_side import Story, contents, make_live
from tests.scripts import call


@pytest.fixture
def generation(redis):
    story = Story()
    story.created(story.account())
    return make_live(redis, story)


@pytest.fixture
def keys(generation):
    return generation.keys


def now_ms(redis):
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000


def test_read_state(redis, keys):
    name = "projections.lua.generation.read_state"
    last, at = redis.hmget(keys.state, "last", "at")
    fields = call(redis, name, keys.lasting, ROW_FORMAT)
    assert fields == [b"2", b"2", at, b"live", last, b"0", b"0", b"%d" % ROW_FORMAT, None]
    assert call(redis, name, keys.lasting, 99)[3] == b"other format"
    redis.delete(keys.users)
    assert call(redis, name, keys.lasting, ROW_FORMAT)[3] == b"damaged"
    redis.delete(keys.state)
    assert call(redis, name, keys.lasting, ROW_FORMAT)[0] is None
    redis.set(keys.state, "x")
    assert call(redis, name, keys.lasting, ROW_FORMAT) == [None]


def test_set_field_needs_a_generation(redis, keys):
    name = "projections.lua.generation.set_field"
    call(redis, name, [keys.state], "log", "x")
    assert redis.hget(keys.state, "log") == b"x"
    redis.delete(keys.state)
    assert not call(redis, name, [keys.state], "log", "x")
    assert not redis.exists(keys.state)


@pytest.mark.parametrize(
    ("field", "value", "answer"),
    [
        ("state", "building", 2),
        ("state", "live", 2),
        ("state", "retired", -1),
        ("state", "filling", -1),
        ("position", "x", -1),
    ],
)
def test_set_live(redis, keys, field, value, answer):
    redis.hset(keys.state, field, value)
    assert call(redis, "projections.lua.generation.set_live", [keys.state]) == answer
    assert (redis.hget(keys.state, "state") == LIVE.encode()) == (answer > 0 or field != "state")


def test_set_live_needs_a_generation(redis, keys):
    redis.delete(keys.state)
    assert call(redis, "projections.lua.generation.set_live", [keys.state]) == -1
    assert not redis.exists(keys.state)


@pytest.mark.parametrize(
    ("current", "expected", "deadline", "answer"),
    [
        ("4", "", "", 1),
        ("4", "4", "", 1),
        ("4", "3", "", 0),
        ("4", "0", "", 0),
        (None, "0", "", 1),
        ("junk", "0", "", 1),
        ("4", "4", "later", 1),
        ("4", "4", "earlier", 0),
    ],
)
def test_point_live(redis, current, expected, deadline, answer):
    if current is not None:
        redis.set("pointer", current)
    ends = {"": "", "later": now_ms(redis) + 60_000, "earlier": now_ms(redis) - 1}[deadline]
    name = "projections.lua.generation.point_live"
    assert call(redis, name, ["pointer"], 7, expected, ends) == answer
    assert (redis.get("pointer") == b"7") == bool(answer)


@pytest.mark.parametrize("kind", ["hash", "zset", "stream", "string", "none"])
def test_shrink_key_removes_a_key_in_steps(redis, kind):
    if kind == "hash":
        redis.hset("{x}key", mapping={f"field {n} {'x' * 100}": n for n in range(1000)})
    elif kind == "zset":
        redis.zadd("{x}key", {f"member {n}": n for n in range(1000)})
    elif kind == "stream":
        redis.xadd("{x}key", {"a": 1})
    elif kind == "string":
        redis.set("{x}key", "x")
    cursor, steps = b"0", 0
    while steps == 0 or cursor != b"0":
        cursor = call(
            redis, "projections.lua.generation.shrink_key", ["{x}key", "{x}head"], cursor, 100
        )
        steps += 1
    assert steps > 5 if kind in ("hash", "zset") else steps == 1
    assert redis.keys("*") == []


def test_shrink_key_leaves_a_generation_that_was_created_anew(redis, keys):
    before = contents(redis, 1)
    name = "projections.lua.generation.shrink_key"
    assert call(redis, name, [keys.rows, keys.state], 0, 100) == b"0"
    assert contents(redis, 1) == before


def test_read_fields(redis, keys):
    name = "projections.lua.generation.read_fields"
    ((key, line),) = redis.hgetall(keys.rows).items()
    assert call(redis, name, [keys.state, keys.rows], key, "x") == [2, [line, None]]
    redis.set(keys.deleted, "x")
    assert call(redis, name, [keys.state, keys.deleted], key) == [2, []]
    redis.hset(keys.state, "position", "x")
    assert call(redis, name, [keys.state, keys.rows], key) == []


def test_read_days(redis, keys):
    name = "projections.lua.generation.read_days"
    assert call(redis, name, [keys.state, keys.days]) == [2, [b"2026-01-02:MovieCreated", b"1"]]
    redis.set(keys.days, "x")
    assert call(redis, name, [keys.state, keys.days]) == [2, []]
    redis.delete(keys.state)
    assert call(redis, name, [keys.state, keys.days]) == []


def test_count_entries(redis, keys):
    name = "projections.lua.generation.count_entries"
    counted = [keys.state, keys.rows, keys.deleted, keys.users]
    assert call(redis, name, counted) == [2, 2, 1, 0, 1]
    redis.delete(keys.users)
    redis.set(keys.users, "x")
    redis.hset(keys.state, "events", "x")
    assert call(redis, name, counted) == [2, 0, 1, 0, 0]
    redis.delete(keys.state)
    assert call(redis, name, counted) == []


class Batch:
    """The arguments of apply_batch.lua; ``apply`` may override them."""

    name = "projections.lua.generation.apply_batch"

    def __init__(self, keys):
        self.keys = keys

    def apply(self, redis, **other):
        given = {"after": 2, "position": 5, "at": "now", "last": "x:1:now", "events": 3}
        given |= {"repairs": 0, "format": ROW_FORMAT, "records": b"r"} | other
        writes = arguments(self.keys, [("HSET", "users", ["u", "Ann"])])
        constants = CONSTANTS | {"KEPT_POSITIONS": 3}
        return call(redis, self.name, self.keys.all, *given.values(), *writes, constants=constants)


def test_apply_batch(redis, keys):
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("movies:position")
        assert Batch(keys).apply(redis) == 5
        heard = [pubsub.get_message(timeout=0.2) for _ in range(2)]
    assert [message["data"] for message in heard if message] == [b"1:5"]
    fields = ("position", "at", "last", "events", "users")
    assert redis.hmget(keys.state, fields) == [b"5", b"now", b"x:1:now", b"5", b"2"]
    assert redis.hget(keys.users, "u") == b"Ann"
    assert redis.xrange(keys.changes) == [(b"5-0", {b"a": b"2", b"c": b"r"})]


def test_apply_batch_keeps_the_last_changes(redis, keys):
    batch = Batch(keys)
    for position in range(2, 9):
        assert batch.apply(redis, after=position, position=position + 1) == position + 1
    assert [entry[0] for entry in redis.xrange(keys.changes)] == [b"6-0", b"7-0", b"8-0", b"9-0"]


@pytest.mark.parametrize("fault", ["another type", "a later entry"])
def test_apply_batch_begins_the_changes_anew(redis, keys, fault):
    """Who follows them finds a gap; the batch is applied all the same."""
    if fault == "another type":
        redis.set(keys.changes, "x")
    else:
        redis.xadd(keys.changes, {"a": 8}, id="9-0")
    assert Batch(keys).apply(redis) == 5
    assert redis.xrange(keys.changes) == [(b"5-0", {b"a": b"2", b"c": b"r"})]
    assert redis.hget(keys.state, "position") == b"5"


def test_changes_of_a_generation_that_is_not_shown_are_not_kept(redis, keys):
    redis.hset(keys.state, "state", "building")
    assert Batch(keys).apply(redis) == 5
    assert not redis.exists(keys.changes)


@pytest.mark.parametrize("other", [{"after": 1}, {"repairs": 1}])
def test_apply_batch_refuses_a_batch_for_another_state(redis, keys, other):
    before = contents(redis, 1)
    assert Batch(keys).apply(redis, **other) == 2
    assert contents(redis, 1) == before


def test_apply_batch_refuses_a_paused_generation(redis, keys):
    redis.hset(keys.state, "hold", now_ms(redis) + 1000)
    assert Batch(keys).apply(redis) == 2
    assert not redis.hexists(keys.users, "u")


@pytest.mark.parametrize("fault", ["format", "state", "damage", "missing"])
def test_apply_batch_refuses_a_generation_that_takes_no_events(redis, keys, fault):
    if fault == "state":
        redis.hset(keys.state, "state", "retired")
    elif fault == "damage":
        redis.delete(keys.rows)
    elif fault == "missing":
        redis.delete(keys.state)
    assert Batch(keys).apply(redis, format=99 if fault == "format" else ROW_FORMAT) == -1
    assert not redis.hexists(keys.users, "u")


def test_pause_and_resume(redis, keys):
    pause, resume = "projections.lua.generation.pause", "projections.lua.generation.resume"
    position, until_ms = call(redis, pause, [keys.state], 1000, ROW_FORMAT)
    assert position == 2
    assert 0 < until_ms - now_ms(redis) <= 1000
    assert call(redis, pause, [keys.state], 1000, ROW_FORMAT) == [2, 0]
    assert not call(redis, resume, [keys.state], until_ms + 1)
    assert call(redis, resume, [keys.state], until_ms) == 1
    assert redis.hget(keys.state, "hold") is None
    assert call(redis, pause, [keys.state], 1000, 99) == [2, -1]
    redis.delete(keys.state)
    assert call(redis, pause, [keys.state], 1000, ROW_FORMAT) == []
