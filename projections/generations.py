"""Generations: which one is live, how one begins, goes live and is dropped.

A reader believes a generation only where the pointer names it and its own state says live. The two
lie in different slots of a cluster, so they are set one after the other, the state first: a crash
between them leaves readers without a list, never with a part of one.
"""

from typing import Any

from projections.keys import BUILDING, GENERATIONS, LIVE, POSITION
from projections.keys import Keys as GenerationKeys
from projections.scripts import Script
from projections.view import BUILDING as STATE_BUILDING
from projections.view import LIVE as STATE_LIVE
from projections.view import View

_GO_LIVE = Script(f"""
local head = redis.call('HMGET', KEYS[1], 'position', 'state')
if not head[1] or (head[2] ~= '{STATE_BUILDING}' and head[2] ~= '{STATE_LIVE}') then return -1 end
redis.call('HSET', KEYS[1], 'state', '{STATE_LIVE}')
return tonumber(head[1])
""")


def live(redis: Any) -> int | None:
    """Return the generation the pointer names."""
    return _number(redis.execute_command("GET", LIVE))


def begin(redis: Any, *, above: int = 0) -> View:
    """Return the generation that is being built, or a new one with a number greater than any known.

    ``above`` is the highest number the caller has seen: a wiped Redis does not know it any more.
    """
    building = _number(redis.execute_command("GET", BUILDING))
    if building is not None:
        view = View(redis, building)
        if view.position() is not None:
            return view
        redis.execute_command("DEL", BUILDING)
    known = [int(number) for number in redis.execute_command("SMEMBERS", GENERATIONS)]
    view = View(redis, 1 + max(above, building or 0, *known, 0))
    redis.execute_command("SADD", GENERATIONS, view.generation)
    view.create()
    if redis.execute_command("SET", BUILDING, view.generation, "NX"):
        return view
    # Another projection began at the same time; two may well build the same one.
    winner = _number(redis.execute_command("GET", BUILDING))
    return View(redis, winner) if winner is not None else view


def go_live(redis: Any, view: View) -> bool:
    """Show a generation that has caught up to readers, and drop those before it.

    False where the generation is gone.
    """
    position = int(_GO_LIVE.run(redis, [view.keys.head]))
    if position < 0:
        return False
    redis.execute_command("SET", LIVE, view.generation)
    redis.execute_command("DEL", BUILDING)
    redis.execute_command("PUBLISH", POSITION, f"{view.generation}:{position}")
    for number in redis.execute_command("SMEMBERS", GENERATIONS):
        if int(number) < view.generation:
            drop(redis, int(number))
    return True


def drop(redis: Any, generation: int) -> None:
    """Remove every key of a generation. Results that filters kept expire by themselves."""
    keys = GenerationKeys(generation)
    redis.execute_command("UNLINK", *keys.lasting, keys.kept)
    redis.execute_command("SREM", GENERATIONS, generation)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
