"""Generations: which one is live, how one begins, goes live and is dropped.

A reader believes a generation only where the pointer names it and its own state says live. The two
lie in different slots of a cluster, so they are set one after the other, the state first: a crash
between them leaves readers with what they had.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from redis.exceptions import ResponseError

from projections.generation.state import BUILDING as STATE_BUILDING
from projections.generation.state import CONSTANTS, ROW_FORMAT
from projections.generation.writer import GenerationWriter
from projections.keys import BUILDING, DROPPED, GENERATIONS, LIVE, POSITION
from projections.keys import Keys as GenerationKeys
from projections.lua import load_script, number_field, of_another_type

_SET_LIVE = load_script("projections.lua.generation.set_live", CONSTANTS)
_POINT_LIVE = load_script("projections.lua.generation.point_live")
_SHRINK_KEY = load_script("projections.lua.generation.shrink_key")
PIECE = 100
"""About how many fields or members are removed in one step."""
# Steps that are made at once.
_AT_ONCE = 20


def live_number(redis: Any) -> int | None:
    """Return the number of the generation that the pointer names, if any."""
    return _named(redis, LIVE)


def live_generation(redis: Any) -> GenerationWriter | None:
    """Return the generation that the pointer names, if any."""
    number = live_number(redis)
    return GenerationWriter(redis, number) if number is not None else None


def begin(redis: Any, *, above: int = 0, row_format: int = ROW_FORMAT) -> GenerationWriter:
    """Return the generation that is being built, or a new one with a number greater than any known.

    ``above`` is the highest number the caller has seen: a wiped Redis does not know it any more.
    """
    building = _named(redis, BUILDING)
    if building is not None:
        view = GenerationWriter(redis, building, row_format)
        if view.checkpoint() is not None:
            return view
    redis.execute_command("DEL", BUILDING)
    view = new(redis, above=max(above, building or 0), row_format=row_format)
    if redis.execute_command("SET", BUILDING, view.number, "NX"):
        return view
    # Another projection began at the same time; two may well build the same one.
    winner = _named(redis, BUILDING)
    return GenerationWriter(redis, winner, row_format) if winner is not None else view


def new(
    redis: Any, *, above: int = 0, state: str = STATE_BUILDING, row_format: int = ROW_FORMAT
) -> GenerationWriter:
    """Return an empty generation with a number greater than any known."""
    known = _members(redis, GENERATIONS) + _members(redis, DROPPED)
    next_one = 1 + max(above, live_number(redis) or 0, *known, 0)
    while not redis.execute_command("SADD", GENERATIONS, next_one):
        next_one += 1  # someone else took it just now
    view = GenerationWriter(redis, next_one, row_format)
    view.create(state)
    return view


def go_live(
    redis: Any,
    view: GenerationWriter,
    *,
    instead_of: int | None = None,
    before_ms: int | None = None,
) -> bool:
    """Show a generation that has caught up to readers, and drop those before it.

    Only ``instead_of`` the generation that is live (0: none is), and only before a time of Redis's
    clock, where these are given. False where that is not so, or the generation is gone.
    """
    position = int(_SET_LIVE.run(redis, [view.keys.head]))
    if position < 0:
        return False
    args = [view.number, *("" if arg is None else arg for arg in (instead_of, before_ms))]
    if not _POINT_LIVE.run(redis, [LIVE], args):
        return False
    redis.execute_command("SADD", GENERATIONS, view.number)
    # Before anyone hears of a later position: who still reads the old one must look for this one.
    drop_others(redis, view.number)
    redis.execute_command("PUBLISH", POSITION, f"{view.number}:{position}")
    return True


def drop_others(redis: Any, generation: int) -> None:
    """Drop all generations before one that is live, and one that was being built in its place."""
    building = _named(redis, BUILDING)
    if building is not None:
        redis.execute_command("DEL", BUILDING)
    for other in _members(redis, GENERATIONS):
        if other < generation or (other == building and other != generation):
            drop(redis, other)


def drop_remains(redis: Any) -> None:
    """Drop what was left by a rebuild that was interrupted."""
    kept = {live_number(redis), _named(redis, BUILDING)}
    for other in _members(redis, GENERATIONS):
        if other not in kept:
            drop(redis, other)


def drop(redis: Any, generation: int) -> None:
    """Show a generation to nobody any more and remove it, or, where it is large, begin to."""
    redis.execute_command("SADD", DROPPED, generation)
    redis.execute_command("UNLINK", GenerationKeys(generation).head)
    redis.execute_command("SREM", GENERATIONS, generation)
    for _ in islice(sweep(redis), _AT_ONCE):
        pass


def sweep(redis: Any) -> Iterator[None]:
    """Remove what was dropped, yielding after each piece of it.

    Piece by piece, since to free a large key takes Redis long, and even where it does so aside,
    others wait for it.
    """
    while (dropped := _any(redis, DROPPED)) is not None:
        keys = GenerationKeys(dropped)
        for key in (*keys.lasting, keys.kept):
            cursor = b"0"
            while (cursor := _SHRINK_KEY.run(redis, [key, keys.head], [cursor, PIECE])) != b"0":
                yield
        redis.execute_command("SREM", DROPPED, dropped)


def _named(redis: Any, pointer: str) -> int | None:
    """Return the generation that a pointer names; None for what is the name of none."""
    try:
        return number_field(redis.execute_command("GET", pointer)) or None
    except ResponseError as error:
        if not of_another_type(error):
            raise
        return None


def _members(redis: Any, key: str) -> list[int]:
    """Return the generations in a set. What is the name of none is taken out."""
    return [one for member in _of_set(redis, "SMEMBERS", key) if (one := _one(redis, key, member))]


def _any(redis: Any, key: str) -> int | None:
    """Return any generation in a set, None where there is none."""
    while (member := _of_set(redis, "SRANDMEMBER", key)) is not None:
        if (one := _one(redis, key, member)) is not None:
            return one
    return None


def _of_set(redis: Any, command: str, key: str) -> Any:
    try:
        return redis.execute_command(command, key)
    except ResponseError as error:
        if not of_another_type(error):
            raise
        redis.execute_command("DEL", key)
        return redis.execute_command(command, key)


def _one(redis: Any, key: str, member: bytes) -> int | None:
    # Lists as they were have negative numbers.
    one = number_field(member.removeprefix(b"-"))
    if one:
        return -one if member.startswith(b"-") else one
    redis.execute_command("SREM", key, member)
    return None
