"""Puts single fields of the live generation right, from aside, between two batches."""

from collections.abc import Iterable, Sequence
from typing import Any

from commands.errors import ReadModelUnavailableError
from projections.generation.pause import Pause
from projections.generation.reader import HASHES
from projections.generation.state import CONSTANTS
from projections.generation.writer import GenerationWriter
from projections.lua import arguments, load_script
from projections.movie_rows import RedisWrite
from projections.rebuild.diff import Difference

_REPAIR = load_script("projections.lua.rebuild.repair", CONSTANTS)


def repair(view: GenerationWriter, held: Pause, commands: Sequence[RedisWrite]) -> None:
    """Carry out commands on a generation that is held.

    Raises ReadModelUnavailableError where the hold is over; then nothing was changed.
    """
    args: list[Any] = [held.position, held.until_ms, *arguments(view.keys, commands)]
    if not _REPAIR.run(view.redis, [*view.keys.lasting, view.keys.cached_results], args):
        raise ReadModelUnavailableError("it took too long; try again")


def commands_for(found: Iterable[Difference]) -> list[RedisWrite]:
    """Return the commands that take differences away: what is wrong out, what is wanted in."""
    commands: list[RedisWrite] = []
    for key, field, wanted, _ in found:
        if wanted is None:
            commands.append(RedisWrite("HDEL" if key in HASHES else "ZREM", key, [field]))
        elif key in (*HASHES, "head"):
            commands.append(RedisWrite("HSET", key, [field, wanted]))
        else:
            commands.append(RedisWrite("ZADD", key, [wanted, field]))
    return commands
