"""The list as it was: found where it is kept, built in a process of its own where it is not."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson
import structlog

from commands.errors import ReadModelUnavailableError
from projections.keys import PAST, PAST_LEASE
from projections.past import BUSY, USE, USED, use_of
from queries.movies import ReadModel
from queries.round_trips import RoundTrips

WAIT_S, RETRY_AFTER_S = 5.0, 2
_LOOK_S, _AFTER_FAILURE_S = 0.05, 1.0
log = structlog.get_logger(__name__)


class Builder(NamedTuple):
    """How a process that builds a list is started, and where it finds the log and Redis."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    store_url: str
    redis_url: str


class PastReadModel(ReadModel):
    """Asks the list as it was at a position."""

    def __init__(self, trips: RoundTrips, scans: asyncio.Semaphore, position: int) -> None:
        super().__init__(trips)
        self.scans = scans
        self._position = position

    async def _live(self) -> int:
        return -self._position


class PastLists:
    """Lists as they were, for one event loop. One is built at a time, whoever asks."""

    def __init__(self, reader: ReadModel, builder: Builder) -> None:
        self._trips = reader.trips
        self._scans = reader.scans
        self._builder = builder
        self._building: asyncio.Task[None] | None = None

    async def at(self, position: int, last: str) -> ReadModel:
        """Return a reader of the list as it was at a position, which must be in the log.

        ``last`` is the name of the event there, by which a list of another log is told.
        Raises ReadModelUnavailableError where it is not there in 5 s; a later try may find it.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + WAIT_S
        while not await self._use(position, last):
            if loop.time() > give_up:
                raise ReadModelUnavailableError(
                    "the list as it was then is being built", retry_after_s=RETRY_AFTER_S
                )
            idle = self._building is None or self._building.done()
            if idle and not await self._trips.call("EXISTS", PAST_LEASE):
                self._building = loop.create_task(self._build(position))
            await asyncio.sleep(_LOOK_S)
        return PastReadModel(self._trips, self._scans, position)

    async def close(self) -> None:
        """End what is being built."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.wait([self._building])

    async def _use(self, position: int, last: str) -> bool:
        keys, args = use_of(position, last)
        if not await self._trips.script(USE, keys, args):
            return False
        await self._trips.script(USED, [PAST], [position])
        return True

    async def _build(self, position: int) -> None:
        builder = self._builder
        order = {"store": builder.store_url, "redis": builder.redis_url, "position": position}
        process = await asyncio.create_subprocess_exec(
            *builder.argv, stdin=PIPE, stdout=DEVNULL, env=dict(builder.environment)
        )
        try:
            assert process.stdin is not None  # noqa: S101 - asked for; it stays open till the end
            process.stdin.write(orjson.dumps(order) + b"\n")
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code not in (0, BUSY):
            log.error("a list as it was could not be built", position=position, code=code)
            await asyncio.sleep(_AFTER_FAILURE_S)
