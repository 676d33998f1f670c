"""One generation of the read model: a batch of events and its position become visible in one step.

1. A batch is applied only where the stored position is the one it was read from. So each event
   counts once, whoever applies it, however often it is tried.
2. A generation whose head is missing, or neither being built nor live, takes no events.
3. Whoever changes the live generation publishes its position in the same step.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from commands.store import Recorded
from projections.keys import POSITION, Keys
from projections.listing import Before, Changes, fold_batch, wanted
from projections.scripts import Script

BUILDING, LIVE = "building", "live"
# Usernames of the accounts that wrote last. They never change, so they may be kept.
_KNOWN_USERS = 50_000

# Answers the stored position, or -1 for a generation that takes no events.
# Lua unpacks at most some 8,000 values at once, so long commands are cut, always between pairs.
_APPLY = Script(f"""
local head = redis.call('HMGET', KEYS[1], 'position', 'state')
if not head[1] or (head[2] ~= '{BUILDING}' and head[2] ~= '{LIVE}') then return -1 end
if head[1] ~= ARGV[1] then return tonumber(head[1]) end
local i = 5
while i <= #ARGV do
  local name, key, last = ARGV[i], KEYS[tonumber(ARGV[i + 1])], i + 2 + tonumber(ARGV[i + 2])
  i = i + 3
  while i <= last do
    local stop = math.min(i + 4999, last)
    redis.call(name, key, unpack(ARGV, i, stop))
    i = stop + 1
  end
end
redis.call('HSET', KEYS[1], 'position', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'events', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'at', ARGV[4]) end
if head[2] == '{LIVE}' then
  redis.call('PUBLISH', '{POSITION}', string.match(KEYS[1], '%d+') .. ':' .. ARGV[2])
end
return tonumber(ARGV[2])
""")


class Head(NamedTuple):
    """How far a generation is."""

    position: int
    events: int
    at: str
    state: str


class RefusedEventsError(Exception):
    """Events that cannot be applied. ``refused`` is that of ``Changes``."""

    def __init__(self, refused: dict[str, dict[str, Any]]) -> None:
        super().__init__(
            f"{len(refused)} streams cannot be applied: {next(iter(refused.values()))}"
        )
        self.refused = refused


class View:
    """Applies events to one generation. For one thread; several views of a generation may race."""

    def __init__(self, redis: Any, generation: int) -> None:
        self.generation = generation
        self.keys = Keys(generation)
        self._redis = redis
        self._users: dict[str, str] = {}
        self._parked: set[str] | None = None
        self._position = -1

    def create(self) -> None:
        """Make an empty generation that is being built, unless it is there already."""
        self._redis.execute_command("HSETNX", self.keys.head, "state", BUILDING)
        self._redis.execute_command("HSETNX", self.keys.head, "events", 0)
        # The position comes last: a generation that has one is whole.
        self._redis.execute_command("HSETNX", self.keys.head, "position", 0)

    def head(self) -> Head | None:
        """Return how far this generation is, or None where there is none."""
        position, events, at, state = self._redis.execute_command(
            "HMGET", self.keys.head, "position", "events", "at", "state"
        )
        if position is None:
            return None
        return Head(int(position), int(events or 0), (at or b"").decode(), (state or b"").decode())

    def position(self) -> int | None:
        """Return the position that takes the next batch; None for a generation that takes none."""
        head = self.head()
        if head is None or head.state not in (BUILDING, LIVE):
            return None
        self._stand_at(head.position)
        return head.position

    def apply(self, batch: Sequence[Recorded], after: int, *, park: bool = False) -> int | None:
        """Apply ``batch``, the events that follow position ``after``; return the stored position.

        That is the batch's last position when it was applied (now, or by someone else before), any
        other where this generation was not at ``after``, and None for a generation that is gone:
        in both cases nothing was applied. Events that cannot be applied raise RefusedEventsError
        and nothing is applied, or, to ``park``, are put aside with all later ones of their stream.
        """
        parked = self._parked if self._parked is not None else self._read_parked()
        before = self._read_before(batch, parked)
        changes = fold_batch(batch, before, parked)
        if changes.refused and not park:
            # Overtaken, the rows read are later than the batch: that is no fault of its events.
            if (position := self.position()) != after:
                return position
            raise RefusedEventsError(changes.refused)
        last = batch[-1]
        args = self._args(changes, after, last)
        position = int(_APPLY.run(self._redis, self.keys.lasting, args))
        if position == last.position:
            self._users |= changes.users
            parked.update(changes.refused)
            self._position = position
            return position
        self._stand_at(position)
        return None if position < 0 else position

    def _stand_at(self, position: int) -> None:
        if position != self._position:
            self._position = position
            self._parked = None  # someone else applied events, and may have parked some

    def _args(self, changes: Changes, after: int, last: Recorded) -> list[Any]:
        args: list[Any] = [after, last.position, changes.events, last.data.get("timestamp", "")]
        commands = changes.commands
        if changes.refused:
            reasons = ((key, orjson.dumps(why)) for key, why in changes.refused.items())
            put_aside = [arg for pair in reasons for arg in pair]
            commands = [*commands, ("HSET", "parked", put_aside)]
        numbers = {name: number for number, name in enumerate(self.keys.lasting, start=1)}
        for name, key, values in commands:
            args += (name, numbers[getattr(self.keys, key)], len(values), *values)
        return args

    def _read_before(self, batch: Sequence[Recorded], parked: set[str]) -> Before:
        """Fetch what the batch builds on, in one round trip; none for a batch of new movies."""
        if len(self._users) > _KNOWN_USERS:
            self._users.clear()
        rows, gone, users = wanted(batch, parked)
        users = [key for key in users if key not in self._users]
        lines, states, names = self._read(
            (self.keys.rows, rows), (self.keys.gone, gone), (self.keys.users, users)
        )
        self._users |= {key: name.decode() for key, name in names.items()}
        return Before(lines, states, self._users)

    def _read(self, *asked: tuple[str, list[str]]) -> list[dict[str, bytes]]:
        """Return the fields that are there of each hash."""
        pipeline = self._redis.pipeline(transaction=False)
        for key, ids in asked:
            if ids:
                pipeline.execute_command("HMGET", key, *ids)
        answers = iter(pipeline.execute())
        return [
            {i: value for i, value in zip(ids, next(answers), strict=True) if value is not None}
            if ids
            else {}
            for _, ids in asked
        ]

    def _read_parked(self) -> set[str]:
        # After the position: who parks meanwhile moves it, and then this batch does not apply.
        ids: Iterable[bytes] = self._redis.execute_command("HKEYS", self.keys.parked)
        self._parked = {key.decode() for key in ids}
        return self._parked
