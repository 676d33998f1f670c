"""Modules that scripts require."""

import pytest

from projections.generation.state import CONSTANTS, LIVE, OTHER_FORMAT, PAUSE_MS, ROW_FORMAT
from projections.lua import assemble, read_lua
from projections.records import first_record
from projections.row import row_json
from tests.read_side import Story, make_live
from tests.scripts import evaluate


@pytest.fixture
def generation(redis):
    story = Story()
    story.created(story.account())
    return make_live(redis, story)


NUMBER = 'local number = require("projections.lua.number") return number(ARGV[1])'


@pytest.mark.parametrize("text", ["0", "1", "7", "123456789012345"])
def test_a_canonical_number_is_parsed(redis, text):
    assert evaluate(redis, NUMBER, [], text) == int(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "007", "1.5", "1e3", " 1", "1234567890123456"])
def test_any_other_text_is_not_a_number(redis, text):
    assert evaluate(redis, NUMBER, [], text) == -1


def test_missing_values_and_errors_are_not_numbers(redis):
    redis.hset("hash", "a", 1)
    lua = """
        local number = require("projections.lua.number")
        return {number(redis.pcall("GET", KEYS[1])), number(redis.pcall("GET", KEYS[2]))}
    """
    assert evaluate(redis, lua, ["hash", "missing"]) == [-1, -1]


def test_the_clock_is_that_of_redis(redis):
    seconds, microseconds = redis.time()
    now = evaluate(redis, 'local now_ms = require("projections.lua.clock") return now_ms()')
    assert 0 <= now - (seconds * 1000 + microseconds // 1000) < 1000


STATE = """
    local state = require("projections.lua.state")
    local keys = state.keys(KEYS)
    local fields = state.read(keys, "state", "format")
    return {state.of(keys, fields.state, fields.format, ARGV[1]), state.shown(keys)}
"""


def state_of(redis, generation, row_format=ROW_FORMAT):
    return evaluate(redis, STATE, generation.keys.lasting, row_format)


def test_a_complete_generation_is_live_and_shown(redis, generation):
    assert state_of(redis, generation) == [LIVE.encode(), b"2"]


def test_a_generation_of_another_format_is_reported_and_shown(redis, generation):
    assert state_of(redis, generation, 99) == [OTHER_FORMAT.encode(), b"2"]


def test_a_generation_without_rows_is_damaged_and_not_shown(redis, generation):
    redis.delete(generation.keys.rows)
    assert state_of(redis, generation) == [b"damaged"]


@pytest.mark.parametrize("state", ["retired", "filling"])
def test_a_retired_or_filling_generation_is_not_checked(redis, generation, state):
    redis.hset(generation.keys.state, "state", state)
    redis.delete(generation.keys.rows)
    assert state_of(redis, generation) == [state.encode()]


def test_a_state_of_another_type_has_no_fields(redis, generation):
    redis.delete(generation.keys.state)
    redis.set(generation.keys.state, "x")
    assert state_of(redis, generation) == []


PAUSED = """
    local state = require("projections.lua.state")
    return state.is_paused(ARGV[1] ~= "" and tostring(require("projections.lua.clock")() + ARGV[1]))
"""


@pytest.mark.parametrize(
    ("ends_in_ms", "paused"),
    [("", None), (1000, 1), (PAUSE_MS, 1), (-1, None), (PAUSE_MS + 1000, None)],
)
def test_a_pause_that_has_ended_or_is_too_long_is_ignored(redis, ends_in_ms, paused):
    assert evaluate(redis, PAUSED, [], ends_in_ms) == paused


def test_counts_are_stored(redis, generation):
    redis.hdel(generation.keys.state, "rows", "gone", "users", "parked", "days")
    lua = 'local state = require("projections.lua.state") state.store_counts(state.keys(KEYS))'
    evaluate(redis, lua, generation.keys.lasting)
    counts = redis.hmget(generation.keys.state, "rows", "gone", "users", "parked", "days")
    assert counts == [b"1", b"0", b"1", b"0", b"1"]


def test_writes_are_applied_in_order_and_in_parts(redis):
    many = [str(number) for number in range(12_000)]
    lua = 'local apply = require("projections.lua.writes") apply(KEYS, ARGV, 2)'
    args = ["x", "HSET", 1, 2, "a", "1", "HSET", 2, len(many), *many, "HDEL", 1, 1, "a"]
    evaluate(redis, lua, ["{x}1", "{x}2"], *args)
    assert not redis.exists("{x}1")
    assert redis.hlen("{x}2") == 6_000


def test_a_count_that_is_no_number_begins_anew(redis):
    redis.hset("counts", mapping={"a": 5, "b": "x"})
    lua = 'local apply = require("projections.lua.writes") apply(KEYS, ARGV, 1)'
    commands = [word for field in "abc" for word in ("HINCRBY", 1, 2, field, 2)]
    evaluate(redis, lua, ["counts"], *commands)
    assert redis.hgetall("counts") == {b"a": b"7", b"b": b"2", b"c": b"2"}


ROW = """
    local row = require("projections.lua.row")
    local line = redis.call("HGET", KEYS[1], ARGV[1])
    return {
      row.record(line), row.json(line),
      row.append_json({"x"}, KEYS[1], {ARGV[1], "missing"}),
      row.append_json({}, KEYS[1], {}),
    }
"""


def test_a_row_is_split_into_record_and_json(redis, generation):
    ((key, line),) = redis.hgetall(generation.keys.rows).items()
    record, json = first_record(line), row_json(line)
    assert json.startswith(b'{"id":"')
    assert evaluate(redis, ROW, [generation.keys.rows], key) == [record, json, [b"x", json], []]


@pytest.mark.parametrize("title", ["alien", 'a{"id', ""])
def test_the_json_of_a_row_of_format_3_is_found(redis, title):
    json = b'{"id":"01890000-0000-7000-8000-000000000001","title":"Alien"}'
    front = f"1979\x001767355202000250\x00{title}\0horror\0ann\0".encode()
    redis.hset("rows", "key", front + json)
    lua = """
        local row = require("projections.lua.row")
        return row.json(redis.call("HGET", KEYS[1], "key"))
    """
    assert evaluate(redis, lua, ["rows"]) == json


def test_a_file_is_run_once_after_those_that_it_requires():
    constants = CONSTANTS | {"KEPT_POSITIONS": 1}
    text = assemble(read_lua("projections.lua.generation.apply_batch"), constants)
    names = ("clock", "number", "state")
    at = [text.index(f"local projections_lua_{name} = (function()") for name in names]
    assert at == sorted(at)
    assert text.count("local projections_lua_number =") == 1
    assert "require" not in text


def test_a_constant_is_a_literal_and_must_be_known():
    assert assemble("return constants.A .. constants.B", {"A": "x", "B": 1}) == "return 'x' .. 1"
    with pytest.raises(KeyError):
        assemble("return constants.C", {"A": "x"})
