"""Puts single fields of the live generation right, from aside, between two batches."""

from collections.abc import Iterable, Sequence
from typing import Any

from commands.errors import ReadModelUnavailableError
from projections.generation import integrity
from projections.generation.pause import Pause
from projections.generation.reader import HASHES
from projections.generation.writer import GenerationWriter
from projections.lua import RUN, Script, arguments
from projections.movie_rows import RedisWrite
from projections.rebuild.diff import Difference

# KEYS: lasting, kept. Whoever read before this must read again; and what filters found is not
# what they would find now.
_MEND = Script(
    integrity.ALL
    + RUN
    + """
local head = redis.call('HMGET', KEYS[1], 'position', 'hold')
local now = redis.call('TIME')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] or now[1] * 1000 + now[2] / 1000 > tonumber(ARGV[2])
then return 0 end
for i = 2, 8 do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  local wanted = i >= 3 and i <= 5 and 'zset' or 'hash'
  if kind ~= wanted and kind ~= 'none' then redis.call('UNLINK', KEYS[i]) end
end
run(3)
count()
if number(redis.call('HGET', KEYS[1], 'mends')) < 0 then
  -- Lost: whatever it was, this was it never.
  redis.call('HSET', KEYS[1], 'mends', now[1])
end
redis.call('HINCRBY', KEYS[1], 'mends', 1)
for _, name in ipairs(redis.pcall('LRANGE', KEYS[9], 0, -1)) do
  redis.call('UNLINK', name, name .. ':scan')
end
redis.call('DEL', KEYS[9])
return 1
"""
)


def repair(view: GenerationWriter, held: Pause, commands: Sequence[RedisWrite]) -> None:
    """Carry out commands on a generation that is held.

    Raises ReadModelUnavailableError where the hold is over; then nothing was changed.
    """
    args: list[Any] = [held.position, held.until_ms, *arguments(view.keys, commands)]
    if not _MEND.run(view.redis, [*view.keys.lasting, view.keys.kept], args):
        raise ReadModelUnavailableError("it took too long; try again")


def commands_for(found: Iterable[Difference]) -> list[RedisWrite]:
    """Return the commands that take differences away: what is wrong out, what is wanted in."""
    commands: list[RedisWrite] = []
    for key, field, wanted, _ in found:
        if wanted is None:
            commands.append(("HDEL" if key in HASHES else "ZREM", key, [field]))
        elif key in (*HASHES, "head"):
            commands.append(("HSET", key, [field, wanted]))
        else:
            commands.append(("ZADD", key, [wanted, field]))
    return commands
