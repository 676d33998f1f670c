"""The lifecycle of generations: created, live, dropped.

A generation is shown only if the pointer names it and its own state is live. The two lie in
different slots of a cluster, so they are set one after the other, the state first: after a crash
between them readers still see the previous generation.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from redis.exceptions import ResponseError

from commands.errors import FewerEventsError
from commands.event_store.store import Store
from projections.generation.state import BUILDING as STATE_BUILDING
from projections.generation.state import CONSTANTS, OTHER_FORMAT, ROW_FORMAT
from projections.generation.state import LIVE as STATE_LIVE
from projections.generation.writer import GenerationWriter
from projections.keys import BUILDING, DROPPED, GENERATIONS, LIVE, POSITION, Keys
from projections.lua import load_script, number_field, of_another_type

SWEEP_STEP = 100
"""About how many fields or members one step of ``sweep`` removes."""
_STEPS_AT_ONCE = 20
_OF_EARLIER_RELEASES = ("created", "years", "titles", "kept")
_SET_LIVE = load_script("projections.lua.generation.set_live", CONSTANTS)
_POINT_LIVE = load_script("projections.lua.generation.point_live")
_SHRINK_KEY = load_script("projections.lua.generation.shrink_key")


def live_number(redis: Any) -> int | None:
    """Return the number of the generation that the pointer names, if any."""
    return _read_pointer(redis, LIVE)


def live_generation(redis: Any, row_format: int = ROW_FORMAT) -> GenerationWriter | None:
    """Return the generation that the pointer names, if any."""
    number = live_number(redis)
    return GenerationWriter(redis, number, row_format) if number is not None else None


def begin(
    redis: Any, *, above: int = 0, floor: int = 0, row_format: int = ROW_FORMAT
) -> GenerationWriter:
    """Return the generation that is being built, or a new one.

    ``above`` is the highest number that the caller has seen: a wiped Redis has forgotten it. One
    below the ``floor`` is left behind by a Redis in an older state.
    """
    building = _read_pointer(redis, BUILDING)
    if building is not None and building >= floor:
        writer = GenerationWriter(redis, building, row_format)
        if writer.checkpoint() is not None:
            return writer
    redis.execute_command("DEL", BUILDING)
    writer = new(redis, above=max(above, building or 0), row_format=row_format)
    if redis.execute_command("SET", BUILDING, writer.number, "NX"):
        return writer
    # Another projection began at the same time; two may build the same generation.
    winner = _read_pointer(redis, BUILDING)
    return GenerationWriter(redis, winner, row_format) if winner is not None else writer


def new(
    redis: Any, *, above: int = 0, state: str = STATE_BUILDING, row_format: int = ROW_FORMAT
) -> GenerationWriter:
    """Return an empty generation whose number is higher than every known one."""
    known = _members(redis, GENERATIONS) + _members(redis, DROPPED)
    number = 1 + max(above, live_number(redis) or 0, *known, 0)
    while not redis.execute_command("SADD", GENERATIONS, number):
        number += 1  # taken at the same moment
    writer = GenerationWriter(redis, number, row_format)
    writer.create(state)
    return writer


def check_not_fewer(store: Store, redis: Any) -> None:
    """Raise FewerEventsError if the log has fewer events than the live generation applied.

    A log that lost events would silently take movies out of the lists. A live generation that is
    damaged or of another log proves nothing.
    """
    live = live_generation(redis)
    state = live.read_state(store) if live else None
    if state is None or state.state not in (STATE_LIVE, OTHER_FORMAT):
        return
    count = store.integrity.count(state.position)
    if count < state.events:
        raise FewerEventsError(count, state.events, state.position)


def go_live(
    redis: Any,
    generation: GenerationWriter,
    *,
    instead_of: int | None = None,
    before_ms: int | None = None,
) -> bool:
    """Show a generation that has caught up to readers, and drop the earlier ones.

    ``instead_of`` is the number of the generation that must be live (0 for none), ``before_ms`` a
    deadline by Redis's clock. Returns False if a condition fails or the generation is deleted.
    """
    position = int(_SET_LIVE.run(redis, [generation.keys.state]))
    if position < 0:
        return False
    args = [generation.number, *("" if arg is None else arg for arg in (instead_of, before_ms))]
    if not _POINT_LIVE.run(redis, [LIVE], args):
        return False
    redis.execute_command("SADD", GENERATIONS, generation.number)
    # First, so that no process still reads the old ones once a later position is published.
    drop_others(redis, generation.number)
    redis.execute_command("PUBLISH", POSITION, f"{generation.number}:{position}")
    return True


def drop_others(redis: Any, number: int) -> None:
    """Drop all generations before the live one, and the one that was being built in its place."""
    building = _read_pointer(redis, BUILDING)
    if building is not None:
        redis.execute_command("DEL", BUILDING)
    for other in _members(redis, GENERATIONS):
        if other < number or (other == building and other != number):
            drop(redis, other)


def drop_leftovers(redis: Any) -> None:
    """Drop the generations that interrupted rebuilds left."""
    used = {live_number(redis), _read_pointer(redis, BUILDING)}
    for other in _members(redis, GENERATIONS):
        if other not in used:
            drop(redis, other)


def drop(redis: Any, number: int) -> None:
    """Hide a generation and remove it, or, if it is large, begin to."""
    redis.execute_command("SADD", DROPPED, number)
    redis.execute_command("UNLINK", Keys(number).state)
    redis.execute_command("SREM", GENERATIONS, number)
    for _ in islice(sweep(redis), _STEPS_AT_ONCE):
        pass


def sweep(redis: Any) -> Iterator[None]:
    """Remove the keys of dropped generations in small steps, yielding after each.

    Redis takes long to free a large key; even when it does so in the background, others wait.
    """
    while (dropped := _any_member(redis, DROPPED)) is not None:
        keys = Keys(dropped)
        for key in (*keys.all, *map(keys.named, _OF_EARLIER_RELEASES)):
            args = [b"0", SWEEP_STEP]
            while (cursor := _SHRINK_KEY.run(redis, [key, keys.state], args)) != b"0":
                args[0] = cursor
                yield
        redis.execute_command("SREM", DROPPED, dropped)


def _read_pointer(redis: Any, pointer: str) -> int | None:
    """Return the number that a pointer holds; None for junk."""
    try:
        return number_field(redis.execute_command("GET", pointer)) or None
    except ResponseError as error:
        if not of_another_type(error):
            raise
        return None


def _members(redis: Any, key: str) -> list[int]:
    """Return the numbers in a set and remove junk from it."""
    members = _read_set(redis, "SMEMBERS", key)
    return [number for member in members if (number := _number_or_remove(redis, key, member))]


def _any_member(redis: Any, key: str) -> int | None:
    """Return any number in a set, None if it is empty."""
    while (member := _read_set(redis, "SRANDMEMBER", key)) is not None:
        if (number := _number_or_remove(redis, key, member)) is not None:
            return number
    return None


def _read_set(redis: Any, command: str, key: str) -> Any:
    try:
        return redis.execute_command(command, key)
    except ResponseError as error:
        if not of_another_type(error):
            raise
        redis.execute_command("DEL", key)
        return redis.execute_command(command, key)


def _number_or_remove(redis: Any, key: str, member: bytes) -> int | None:
    # Point-in-time lists have negative numbers.
    number = number_field(member.removeprefix(b"-"))
    if number:
        return -number if member.startswith(b"-") else number
    redis.execute_command("SREM", key, member)
    return None
