"""The list as it was: found where it is kept, built in a process of its own where it is not."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import structlog

from commands.errors import ReadModelUnavailableError
from projections.keys import POINT_IN_TIME, POINT_IN_TIME_LEASE
from projections.rebuild.point_in_time import EXIT_BUSY, MARK_USED, USE_SCRIPT, use_of
from queries.movies import ReadModel
from queries.pipelining import RequestBatcher
from queries.slots import Slots
from queries.turns import Turns

WAIT_S, RETRY_AFTER_S = 5.0, 2
_LOOK_S, _AFTER_FAILURE_S = 0.05, 1.0
log = structlog.get_logger(__name__)


class Builder(NamedTuple):
    """How a process that builds a list is started, and where it finds the log and Redis."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    store_url: str
    redis_url: str


@dataclass
class _Wanted:
    """What an account waits for, and how many of its requests do."""

    position: int
    slot: int
    requests: int = 0


class PointInTimeReadModel(ReadModel):
    """Asks the list as it was at a position."""

    def __init__(self, trips: RequestBatcher, scans: Turns, position: int) -> None:
        super().__init__(trips)
        self.scans = scans
        self._position = position

    async def _live(self) -> int:
        return -self._position


class PointInTimeLists:
    """Lists as they were, for one event loop.

    One is built at a time on this machine, whoever asks (a slot), and one over all machines (a
    lease in Redis). An account waits for one at a time; others that it asks for are refused.
    """

    def __init__(self, reader: ReadModel, builder: Builder, slots: Slots) -> None:
        self._trips = reader.trips
        self._scans = reader.scans
        self._builder = builder
        self._slots = slots
        self._wanted: dict[str, _Wanted] = {}
        self._building: asyncio.Task[None] | None = None

    async def at(self, position: int, last: str, account: str = "") -> ReadModel:
        """Return a reader of the list as it was at a position, which must be in the log.

        ``last`` is the name of the event there, by which a list of another log is told.
        Raises ReadModelUnavailableError where it is not there in 5 s, a later try may find it, and
        at once where the account waits for another one.
        """
        if not await self._use(position, last):
            with self._wanting(account, position):
                await self._wait(position, last)
        return PointInTimeReadModel(self._trips, self._scans, position)

    async def _wait(self, position: int, last: str) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + WAIT_S
        while not await self._use(position, last):
            if loop.time() > give_up:
                raise _being_built()
            if not await self._trips.call("EXISTS", POINT_IN_TIME_LEASE):
                self._begin(position)
            await asyncio.sleep(_LOOK_S)

    @contextmanager
    def _wanting(self, account: str, position: int) -> Generator[None]:
        """Note what an account waits for, also for other processes. Raises where it is another."""
        wanted = self._wanted.get(account)
        if wanted is None:
            slot = self._slots.take("past lists", account, 1)
            if slot is None:
                raise _being_built()
            wanted = self._wanted[account] = _Wanted(position, slot)
        elif wanted.position != position:
            raise _being_built()
        wanted.requests += 1
        try:
            yield
        finally:
            wanted.requests -= 1
            if not wanted.requests:
                del self._wanted[account]
                self._slots.release(wanted.slot)

    def _begin(self, position: int) -> None:
        """Build where nothing else is being built. Nothing is awaited between look and claim."""
        if self._building is not None and not self._building.done():
            return
        slot = self._slots.take("past list", "", 1)
        if slot is None:
            return
        self._building = asyncio.get_running_loop().create_task(self._build(position))
        self._building.add_done_callback(lambda _: self._slots.release(slot))

    async def close(self) -> None:
        """End what is being built."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.wait([self._building])

    async def _use(self, position: int, last: str) -> bool:
        keys, args = use_of(position, last)
        if not await self._trips.script(USE_SCRIPT, keys, args):
            return False
        await self._trips.script(MARK_USED, [POINT_IN_TIME], [position])
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
        if code not in (0, EXIT_BUSY):
            log.error("a list as it was could not be built", position=position, code=code)
            await asyncio.sleep(_AFTER_FAILURE_S)


def _being_built() -> ReadModelUnavailableError:
    return ReadModelUnavailableError(
        "the list as it was then is being built", retry_after_s=RETRY_AFTER_S
    )
