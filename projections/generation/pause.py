"""Stops the projection of a generation for a moment, at a position that is known then.

Readers do not notice. A hold ends by itself, so that one whose holder died harms nobody for long.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from commands.errors import ReadModelUnavailableError
from projections.generation.state import PAUSE_MS, PAUSED
from projections.generation.writer import GenerationWriter
from projections.lua import NUMBER, Script

_WAIT_S, _PAUSE_S = 10.0, 0.02

# ARGV: milliseconds, the format of rows that is wanted. Answers the position and when the hold
# ends, or 0 where someone else holds it, -1 for another format; nothing for no generation.
_HOLD = Script(
    NUMBER
    + PAUSED
    + """
local head = redis.pcall('HMGET', KEYS[1], 'position', 'hold', 'format')
if number(head[1]) < 0 then return {} end
if (head[3] or '1') ~= ARGV[2] then return {tonumber(head[1]), -1} end
if held(head[2]) then return {tonumber(head[1]), 0} end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], 'hold', string.format('%d', now + ARGV[1]))
return {tonumber(head[1]), now + ARGV[1]}
"""
)
_RELEASE = Script("""
return redis.pcall('HGET', KEYS[1], 'hold') == ARGV[1] and redis.call('HDEL', KEYS[1], 'hold')
""")


class Pause(NamedTuple):
    """No event is applied beyond ``position`` before ``until_ms`` of Redis's clock."""

    position: int
    until_ms: int


@contextmanager
def pause(view: GenerationWriter, for_ms: int = PAUSE_MS) -> Iterator[Pause]:
    """Hold a generation. Raises ReadModelUnavailableError where it is gone, or held for long.

    One whose rows have the format of another release is not held: who holds it would change it.
    """
    held = _take(view, for_ms)
    try:
        yield held
    finally:
        _RELEASE.run(view.redis, [view.keys.head], [held.until_ms])


def _take(view: GenerationWriter, for_ms: int) -> Pause:
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up:
        answer = _HOLD.run(view.redis, [view.keys.head], [for_ms, view.row_format])
        if not answer:
            raise ReadModelUnavailableError("the generation is gone")
        if answer[1] < 0:
            raise ReadModelUnavailableError("its rows have the format of another release")
        if answer[1]:
            return Pause(*answer)
        time.sleep(_PAUSE_S)
    raise ReadModelUnavailableError("another command is changing it")
