"""The head of a generation: how far it is, and what state it is in."""

from typing import Any, NamedTuple

from commands.store import Recorded, Store
from projections import whole
from projections.keys import Keys
from projections.scripts import Script, number

FILLING = "filling"
"""It is being filled from aside, and takes no events yet."""
BUILDING = "building"
LIVE = "live"
"""It may be shown to readers."""
DAMAGED = "damaged"
"""Something of it is lost. Never stored: it is found out."""
RETIRED = "retired"
"""It takes no events any more, and is shown to nobody."""
HOLD_MS = 2_000
"""For how long a generation is held at most."""
HELD = f"""
local function held(text)
  if not text then return false end
  local time, until_ms = redis.call('TIME'), number(text)
  local now_ms = time[1] * 1000 + time[2] / 1000
  return now_ms < until_ms and until_ms <= now_ms + {HOLD_MS}
end
"""
"""Lua, after ``NUMBER``: whether a generation is, given the ``hold`` of its head.

One that is no number, or ends later than any that begins now, was set by nobody and counts as none.
"""
_NUMBERS = ("events", "mends", "rows", "gone", "users", "parked", "dropped")

_LOOK = Script(
    whole.ALL
    + f"""
local head = redis.pcall('HMGET', KEYS[1], 'position', 'events', 'at', 'state', 'last', 'parked',
  'dropped')
if head.err then return {{false}} end
if (head[4] == '{BUILDING}' or head[4] == '{LIVE}') and not all_whole() then
  head[4] = '{DAMAGED}'
end
return head
"""
)


class Head(NamedTuple):
    """What a head says."""

    position: int
    events: int
    at: str
    state: str
    last: str
    parked: int
    """Movies whose events cannot be applied, without those that were given up."""
    dropped: int


def look(redis: Any, keys: Keys) -> Head | None:
    """Return the head of a generation, or None where there is none.

    What should be a number and is none counts as 0: such a generation is damaged.
    """
    found = _LOOK.run(redis, keys.lasting)
    if found[0] is None:
        return None
    position, events, parked, dropped = (number(found[i]) or 0 for i in (0, 1, 5, 6))
    at, state, last = ((one or b"").decode(errors="replace") for one in found[2:5])
    return Head(position, events, at, state, last, max(0, parked - dropped), dropped)


def create(redis: Any, keys: Keys, state: str) -> None:
    """Make the head of an empty generation, unless it is there already."""
    # The position comes last: a head that has one is whole.
    for name, value in [("state", state), *((name, 0) for name in _NUMBERS), ("position", 0)]:
        redis.execute_command("HSETNX", keys.head, name, value)


def name_of(event: Recorded) -> str:
    """Return what an event is known by: no two logs have the same one at the same position.

    Its time tells it from the one that takes its place after the log was set back.
    """
    return f"{event.stream_id}:{event.version}:{time_of(event)}"


def time_of(event: Recorded) -> str:
    """Return when an event happened, "" where it does not say so."""
    time = event.data.get("timestamp")
    return time if type(time) is str else ""


def name_at(store: Store, position: int) -> str:
    """Return the name of the event at a position, "" where the log has none there."""
    found = store.read(position - 1, 1, position) if position else []
    return name_of(found[0]) if found else ""


def belongs(store: Store, head: Head) -> bool:
    """Tell whether a generation was built from this log, as far as the log still goes.

    The event that was applied last must be there: a log that was replaced, or restored to an
    earlier state, has another at its position, or none.
    """
    return name_at(store, head.position) == head.last
