"""Lists as of a position: read where they are cached, else built by a process of their own."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from commands.errors import ReadModelUnavailableError
from projections.keys import POINT_IN_TIME, POINT_IN_TIME_LEASE
from projections.rebuild.point_in_time import EXIT_BUSY, NOTE_USE, TOUCH_LIST, touch_arguments
from projections.rebuild.worker_process import order_work
from queries.admission.slots import Slots
from queries.read_model import ReadModel

WAIT_S, RETRY_AFTER_S = 5.0, 2
_LOOK_S, _AFTER_FAILURE_S = 0.05, 1.0
log = structlog.get_logger(__name__)


class Builder(NamedTuple):
    """The command that builds a list, and the URLs of the event store, Redis and the replica."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    store_url: str
    redis_url: str
    replica_url: str = ""


@dataclass
class _Pending:
    """The list that an account waits for, and how many of its requests do."""

    position: int
    slot: int
    requests: int = 0


class PointInTimeReadModel(ReadModel):
    """Reads the generation that was built as of a position."""

    def __init__(self, live: ReadModel, position: int) -> None:
        super().__init__(live.batcher, live.mirrors)
        self._position = position

    async def _live(self) -> int:
        return -self._position


class PointInTimeLists:
    """Lists as of positions, for one event loop.

    One list is built at a time on a machine (a slot) and over all machines (a lease in Redis). An
    account waits for one list at a time; its requests for others are refused.
    """

    def __init__(self, live: ReadModel, builder: Builder, slots: Slots) -> None:
        self._live = live
        self._builder = builder
        self._slots = slots
        self._pending: dict[str, _Pending] = {}
        self._building: asyncio.Task[None] | None = None

    async def at(self, position: int, last: str, account: str = "") -> ReadModel:
        """Return a reader of the list as of a position, which must be in the log.

        ``last`` is the name of the event there; it tells lists of another log apart. Raises
        ReadModelUnavailableError where the list is not built within 5 s, and at once where the
        account waits for another list.
        """
        if not await self._use(position, last):
            with self._waiting_for(account, position):
                await self._wait(position, last)
        return PointInTimeReadModel(self._live, position)

    async def _wait(self, position: int, last: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while not await self._use(position, last):
            if loop.time() > deadline:
                raise _being_built()
            if not await self._live.batcher.call("EXISTS", POINT_IN_TIME_LEASE):
                self._begin(position)
            await asyncio.sleep(_LOOK_S)

    @contextmanager
    def _waiting_for(self, account: str, position: int) -> Generator[None]:
        """Hold the account's slot. Raises where the account waits for another list."""
        pending = self._pending.get(account)
        if pending is None:
            slot = self._slots.take("past lists", account, 1)
            if slot is None:
                raise _being_built()
            pending = self._pending[account] = _Pending(position, slot)
        elif pending.position != position:
            raise _being_built()
        pending.requests += 1
        try:
            yield
        finally:
            pending.requests -= 1
            if not pending.requests:
                del self._pending[account]
                self._slots.release(pending.slot)

    def _begin(self, position: int) -> None:
        """Start a build unless one runs. Nothing is awaited between the check and the start."""
        if self._building is not None and not self._building.done():
            return
        slot = self._slots.take("past list", "", 1)
        if slot is None:
            return
        self._building = asyncio.get_running_loop().create_task(self._build(position))
        self._building.add_done_callback(lambda _: self._slots.release(slot))

    async def close(self) -> None:
        """Cancel the build."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.wait([self._building])

    async def _use(self, position: int, last: str) -> bool:
        keys, args = touch_arguments(position, last)
        if not await self._live.batcher.script(TOUCH_LIST, keys, args):
            return False
        await self._live.batcher.script(NOTE_USE, [POINT_IN_TIME], [position])
        return True

    async def _build(self, position: int) -> None:
        builder = self._builder
        order = {
            "store": builder.store_url,
            "redis": builder.redis_url,
            "replica": builder.replica_url,
            "position": position,
        }
        code = await order_work(builder.argv, builder.environment, order)
        if code not in (0, EXIT_BUSY):
            log.error("a point-in-time list could not be built", position=position, code=code)
            await asyncio.sleep(_AFTER_FAILURE_S)


def _being_built() -> ReadModelUnavailableError:
    return ReadModelUnavailableError(
        "the list as it was then is being built", retry_after_s=RETRY_AFTER_S
    )
