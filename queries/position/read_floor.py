"""The read floor: a process answers nothing older than it did before.

A Redis that fails over to an older state may show an earlier position, or a generation that another
one had replaced. Requests then get 503 until the projection has caught up, or has built a new one.
"""

from collections.abc import Awaitable, Callable

from redis.exceptions import ResponseError

from commands.errors import EventStoreUnavailableError, ReadModelUnavailableError
from projections.keys import READ_MODEL
from queries.pipelining import RequestBatcher


async def _unknown(_read_model: str) -> int:
    return 0


class ReadFloor:
    """The lowest generation and position that may be answered, for one event loop."""

    def __init__(self, remembered: Callable[[str], Awaitable[int]] = _unknown) -> None:
        """``remembered`` returns the floor of a read model in the event store."""
        self._remembered = remembered
        self._read_model = b""
        self._generation = 0
        self._is_remembered = False
        self._log = ""
        self._position = 0

    def least(self, log: str, position: int = 0) -> int:
        """Return the lowest position for an answer about ``log`` that must show ``position``."""
        return max(position, self._position) if log == self._log else position

    def answered(self, log: str, position: int) -> None:
        """Note a position that an answer shows; another log begins at any."""
        self._position = self.least(log, position)
        self._log = log

    async def check(self, batcher: RequestBatcher, generation: int) -> None:
        """Raise ReadModelUnavailableError for a generation that another one has replaced."""
        try:
            read_model: bytes | None = await batcher.call("GET", READ_MODEL)
        except ResponseError:  # it is no text
            read_model = None
        if read_model is None:  # of an earlier release
            return
        if read_model != self._read_model:
            self._read_model, self._generation, self._is_remembered = read_model, 0, False
        if not self._is_remembered or generation > self._generation:
            await self._ask_event_store(read_model)
        if generation < self._generation:
            raise ReadModelUnavailableError("Redis is in an older state; it is being built")
        self._generation = generation

    async def _ask_event_store(self, read_model: bytes) -> None:
        try:
            lowest = await self._remembered(read_model.decode(errors="replace"))
        except EventStoreUnavailableError:  # what this process has seen counts
            return
        if read_model == self._read_model:
            self._generation, self._is_remembered = max(self._generation, lowest), True
