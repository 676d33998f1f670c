"""Reads all records of a generation, and asks its scripts."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from commands.errors import ReadModelUnavailableError
from projections.generation.state import CONSTANTS
from projections.lua import Script, load_script
from projections.records import RECORDS_SINCE
from queries.columns.columns import Columns
from queries.columns.loading import Loading
from queries.pipelining import RequestBatcher

# Movies read at once: Redis serves nothing else meanwhile.
_PIECE = 1_000
_READ_RECORDS = load_script("queries.lua.read_records", CONSTANTS)
RETRY_TOO_LARGE_S = 30


class GoneError(ReadModelUnavailableError):
    """The generation must not be shown any more."""


class BehindError(ReadModelUnavailableError):
    """The generation has not reached the position that the client asks for."""

    def __init__(self) -> None:
        super().__init__("it has not reached that position yet")


class LoadingError(ReadModelUnavailableError):
    """The records are still being read."""

    def __init__(self) -> None:
        super().__init__("it is being read")


class TooLargeError(ReadModelUnavailableError):
    """The records take more memory than is allowed."""

    def __init__(self) -> None:
        reason = "its lists take more memory than CINELOG_MIRROR_MB"
        super().__init__(reason, retry_after_s=RETRY_TOO_LARGE_S)


async def ask(
    batcher: RequestBatcher,
    script: Script,
    keys: Sequence[str],
    args: Sequence[str | bytes | int],
) -> list[Any]:
    """Return what a script answers. Raises GoneError, and what ``RequestBatcher.script`` does."""
    try:
        answer: list[Any] = await batcher.script(script, keys, args)
    except ResponseError as error:  # a key holds something else
        raise GoneError("it cannot be read") from error
    if answer[0] == b"gone":
        raise GoneError("it is being built")
    return answer


async def read_all(batcher: RequestBatcher, keys: Sequence[str], max_bytes: int) -> Columns:
    """Return all records; those of movies that change meanwhile are as before or as after.

    ``keys`` are the state and the rows. Raises TooLargeError, and what ``ask`` does.
    """
    loading, cursor, records = Loading(), b"0", list[bytes]()
    while True:
        args: list[bytes | int] = [cursor, _PIECE, RECORDS_SINCE]
        # Redis works on the next records while these are added.
        (cursor, *records), _ = await asyncio.gather(
            ask(batcher, _READ_RECORDS, keys, args), asyncio.to_thread(loading.add, records)
        )
        if loading.memory_bytes > max_bytes:
            raise TooLargeError
        if cursor == b"0":
            break
    loading.add(records)
    if loading.memory_bytes > max_bytes:
        raise TooLargeError
    return await loading.columns()
