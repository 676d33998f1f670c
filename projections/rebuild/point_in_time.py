"""Builds the list as it was at a position, in a process of its own.

``python -m projections.rebuild.point_in_time`` hears on standard input what to build, and ends when
that closes: with who asked. One is built at
a time, whoever asks; a few are kept, for some minutes after their last use. A build that dies
leaves nothing: what it wrote goes by itself.
"""

import os
import sys
import threading
from typing import Any

import orjson
from redis.exceptions import RedisError

from commands.errors import CinelogError
from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.generation import lifecycle
from projections.generation.state import CONSTANTS, LIVE, REPLAYING, ROW_FORMAT, event_name_at
from projections.generation.writer import GenerationWriter
from projections.keys import POINT_IN_TIME, POINT_IN_TIME_LEASE, Keys
from projections.lua import load_script
from projections.rebuild.replay import collect_garbage_rarely, finish, replay
from projections.redis_client import open_redis
from projections.subprocesses import die_with_stdin

MAX_SNAPSHOTS, SNAPSHOT_TTL_S = 3, 600
# How many movies may be in those that are kept besides the one that was built last.
MAX_SNAPSHOT_ROWS = 500_000
# How long a build may take between two steps.
_STEP_S = 60
_NICE = 5
EXIT_BUSY = 3
"""The exit code where another one is being built."""

USE_SCRIPT = load_script("projections.lua.rebuild.touch_list", CONSTANTS)
MARK_USED = load_script("projections.lua.rebuild.note_use")


def use_of(position: int, last: str) -> tuple[tuple[str, ...], list[Any]]:
    """Return what ``USE_SCRIPT`` takes for the list as it was at a position."""
    keys = Keys(-position)
    return (*keys.lasting, keys.cached_results), [SNAPSHOT_TTL_S, last, ROW_FORMAT]


def build(store: Store, redis: Any, position: int) -> bool:
    """Build the list as it was at a position; False where another one is being built."""
    lease = Lease(redis, key=POINT_IN_TIME_LEASE)
    if not lease.acquire_or_renew():
        return False
    try:
        use = use_of(position, event_name_at(store, position))
        if USE_SCRIPT.run(redis, *use):
            return True
        _make_room(redis, position)
        # To the end: an earlier one of this position would be mixed with the new one.
        for _ in lifecycle.sweep(redis):
            if not lease.acquire_or_renew():
                return False
        MARK_USED.run(redis, [POINT_IN_TIME], [position])
        view = GenerationWriter(redis, -position)
        view.create(REPLAYING)
        read = applied = 0
        for step in replay(store, view, position, keep_s=_STEP_S):
            if not lease.acquire_or_renew():
                return False
            read, applied = read + step.read, applied + step.applied
        store.integrity.check_count(position, read)
        finish(store, view, position, applied, LIVE)
        USE_SCRIPT.run(redis, *use)
    finally:
        lease.release()
    return True


def _make_room(redis: Any, position: int) -> None:
    """Drop all but those used last, and whatever an earlier build left."""
    others = [int(one) for one in redis.execute_command("ZREVRANGE", POINT_IN_TIME, 0, -1)]
    kept, rows = [position], 0
    for other in others:
        state, number = redis.execute_command("HMGET", Keys(-other).state, "state", "rows")
        rows += int(number or 0)
        there = state == LIVE.encode() and other != position
        if there and len(kept) < MAX_SNAPSHOTS and rows <= MAX_SNAPSHOT_ROWS:
            kept.append(other)
    for other in {*others, position} - {*kept[1:]}:
        lifecycle.drop(redis, -other)
        redis.execute_command("ZREM", POINT_IN_TIME, other)


def main() -> int:
    """Build what is asked for."""
    os.nice(_NICE)
    collect_garbage_rarely()
    order = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=die_with_stdin, daemon=True).start()
    try:
        store = Store.open(order["store"], create=False)
        return 0 if build(store, open_redis(order["redis"]), order["position"]) else EXIT_BUSY
    except (CinelogError, RedisError) as error:
        sys.stderr.write(f"cinelog: {type(error).__name__}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
