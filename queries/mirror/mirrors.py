"""The mirrors of the generations that one process reads."""

import asyncio
from collections.abc import Callable

from commands.errors import ReadModelUnavailableError
from queries.admission.turns import Turns
from queries.mirror.mirror import Mirror
from queries.pipelining import RequestBatcher

MAX_BYTES = 2**30
"""The most memory that the records of one generation may take."""
# Searches of an account in line.
_WAITING = 256


class Mirrors:
    """The mirrors of the generations that are read, the last ones used."""

    def __init__(
        self, batcher: RequestBatcher, *, max_bytes: int = MAX_BYTES, most: int = 4
    ) -> None:
        self._batcher = batcher
        self._scans = Turns("filters", running=1, waiting=_WAITING)
        self._max_bytes = max_bytes
        self._most = most
        self._mirrors: dict[int, Mirror] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._dropped_loads = 0

    def of(self, generation: int, is_current: Callable[[int], bool]) -> Mirror:
        """Return the mirror of a generation; those that are not current are dropped."""
        if self._closed:
            raise ReadModelUnavailableError("it is being closed")
        mirror = self._mirrors.pop(generation, None)
        if mirror is None:
            for other in [one for one in self._mirrors if not is_current(one)]:
                self._drop(other)
            while len(self._mirrors) >= self._most:
                self._drop(next(iter(self._mirrors)))
            mirror = Mirror(self._batcher, generation, self._scans, self._max_bytes)
        self._mirrors[generation] = mirror
        return mirror

    def _drop(self, generation: int) -> None:
        mirror = self._mirrors.pop(generation)
        self._dropped_loads += mirror.loads
        task = asyncio.create_task(mirror.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    @property
    def memory_bytes(self) -> int:
        """About the size of all mirrors."""
        return sum(mirror.memory_bytes for mirror in self._mirrors.values())

    @property
    def loads(self) -> int:
        """How often the records of a generation were read as a whole."""
        return self._dropped_loads + sum(mirror.loads for mirror in self._mirrors.values())

    async def close(self) -> None:
        """Stop all; requests that wait get ReadModelUnavailableError."""
        self._closed = True
        for generation in [*self._mirrors]:
            self._drop(generation)
        if self._closing:
            await asyncio.wait(self._closing)
