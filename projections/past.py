"""The list as it was at a position: ``python -m projections.past`` builds one, then ends.

It hears on standard input what to build, and ends when that closes: with who asked. One is built at
a time, whoever asks; a few are kept, for some minutes after their last use. A build that dies
leaves nothing: what it wrote goes by itself.
"""

import os
import sys
import threading
from typing import Any

import orjson

from commands.store import Store
from projections import generations, whole
from projections.connection import open_redis
from projections.fill import fill, finish
from projections.fillers import die_with_stdin
from projections.heads import FILLING, LIVE
from projections.keys import PAST, PAST_LEASE, Keys
from projections.lease import Lease
from projections.scripts import Script
from projections.view import View

KEPT, KEPT_S = 3, 600
# How long a build may take between two steps.
_STEP_S = 60
_NICE = 5
BUSY = 3
"""The exit code where another one is being built."""

# KEYS: lasting, kept. ARGV: seconds. Whether the list is there; if so it is kept from now on.
USE = Script(
    whole.LISTS
    + f"""
local head = redis.call('HMGET', KEYS[1], 'state', 'rows')
if head[1] ~= '{LIVE}' or not lists_whole(head[2]) then return 0 end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[1]) end
return 1
""",
)


# KEYS: PAST. ARGV: position.
USED = Script("return redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])")


def use_of(position: int) -> tuple[tuple[str, ...], list[int]]:
    """Return what ``USE`` takes for the list as it was at a position."""
    keys = Keys(-position)
    return (*keys.lasting, keys.kept), [KEPT_S]


def build(store: Store, redis: Any, position: int) -> bool:
    """Build the list as it was at a position; False where another one is being built."""
    lease = Lease(redis, key=PAST_LEASE)
    if not lease.hold():
        return False
    try:
        if USE.run(redis, *use_of(position)):
            return True
        _make_room(redis, position)
        USED.run(redis, [PAST], [position])
        view = View(redis, -position)
        view.create(FILLING)
        applied = 0
        for step in fill(store, view, position, keep_s=_STEP_S):
            if not lease.hold():
                return False
            applied += step.applied
        finish(store, view, position, applied, LIVE)
        USE.run(redis, *use_of(position))
    finally:
        lease.release()
    return True


def _make_room(redis: Any, position: int) -> None:
    """Drop all but those used last, and whatever an earlier build left."""
    others = [int(one) for one in redis.execute_command("ZREVRANGE", PAST, 0, -1)]
    kept = [one for one in others if one != position and _is_there(redis, one)]
    for other in {*others, position} - {*kept[: KEPT - 1]}:
        generations.drop(redis, -other)
        redis.execute_command("ZREM", PAST, other)


def _is_there(redis: Any, position: int) -> bool:
    state: bytes | None = redis.execute_command("HGET", Keys(-position).head, "state")
    return state == LIVE.encode()


def main() -> int:
    """Build what is asked for."""
    os.nice(_NICE)
    order = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=die_with_stdin, daemon=True).start()
    store = Store.open(order["store"], create=False)
    return 0 if build(store, open_redis(order["redis"]), order["position"]) else BUSY


if __name__ == "__main__":
    sys.exit(main())
