"""Builds the list of movies at a position of the log, in a process of its own.

``python -m projections.rebuild.point_in_time`` takes its order on standard input and ends when that
closes. One list is built at a time on all machines; a few are kept for some minutes after their
last use. An interrupted build leaves nothing: its keys expire.
"""

from typing import Any

from commands.event_store.log_reader import LogReader
from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.generation import lifecycle
from projections.generation.state import (
    CONSTANTS,
    LIVE,
    REPLAYING,
    ROW_FORMAT,
    Generation,
    event_name_at,
)
from projections.keys import POINT_IN_TIME, POINT_IN_TIME_LEASE, Keys
from projections.lua import load_script
from projections.rebuild.replay import ReplayProgress, finish, replay
from projections.rebuild.worker_process import run_worker
from projections.redis_client import open_redis

MAX_LISTS, LIST_TTL_S = 3, 600
MAX_OTHER_ROWS = 500_000
"""The most movies in the lists that are kept beside the one built last."""
# The longest time between two steps of a build.
_STEP_TTL_S = 60
_NICENESS = 5
# A request waits for the list.
_REPLICA_WAIT_S = 0.3
EXIT_BUSY = 3
"""The exit code if another list is being built."""

TOUCH_LIST = load_script("projections.lua.rebuild.touch_list", CONSTANTS)
NOTE_USE = load_script("projections.lua.rebuild.note_use")


def touch_arguments(position: int, last: str) -> tuple[tuple[str, ...], list[Any]]:
    """Return the keys and arguments of ``TOUCH_LIST`` for the list at a position."""
    keys = Keys(-position)
    return keys.lasting, [LIST_TTL_S, last, ROW_FORMAT]


def build(store: LogReader, redis: Any, position: int) -> bool:
    """Build the list at a position unless it exists; False if another list is being built."""
    lease = Lease(redis, key=POINT_IN_TIME_LEASE)
    if not lease.acquire_or_renew():
        return False
    try:
        touch = touch_arguments(position, event_name_at(store, position))
        if TOUCH_LIST.run(redis, *touch):
            return True
        _make_room(redis, position)
        # To the end: else an earlier list of this position would mix with the new one.
        for _ in lifecycle.sweep(redis):
            if not lease.acquire_or_renew():
                return False
        NOTE_USE.run(redis, [POINT_IN_TIME], [position])
        generation = Generation(redis, -position)
        generation.create(REPLAYING)
        done = ReplayProgress()
        for step in replay(store, generation, position, ttl_s=_STEP_TTL_S):
            if not lease.acquire_or_renew():
                return False
            done = done.plus(step)
        store.integrity.check_count(position, done.read)
        finish(store, generation, position, done._replace(days={}), LIVE)
        TOUCH_LIST.run(redis, *touch)
    finally:
        lease.release()
    return True


def _make_room(redis: Any, position: int) -> None:
    """Drop all lists but those used last, and the remains of earlier builds."""
    others = [int(one) for one in redis.execute_command("ZREVRANGE", POINT_IN_TIME, 0, -1)]
    kept: set[int] = set()
    rows = 0
    for other in others:
        state, number = redis.execute_command("HMGET", Keys(-other).state, "state", "rows")
        rows += int(number or 0)
        is_list = state == LIVE.encode() and other != position
        if is_list and len(kept) < MAX_LISTS - 1 and rows <= MAX_OTHER_ROWS:
            kept.add(other)
    for other in {*others, position} - kept:
        lifecycle.drop(redis, -other)
        redis.execute_command("ZREM", POINT_IN_TIME, other)


def _build_ordered(order: dict[str, Any]) -> int:
    position = order["position"]
    reader = Store.open(order["store"], create=False).reader(order["replica"])
    with reader.reading(position, current=False, wait_s=_REPLICA_WAIT_S):
        return 0 if build(reader, open_redis(order["redis"]), position) else EXIT_BUSY


if __name__ == "__main__":
    run_worker(_build_ordered, niceness=_NICENESS)
