"""Gives the event loop its turn during long work."""

import asyncio
from time import perf_counter

SLICE_S = 0.001


class Pace:
    """Work takes a step, then asks here whether others have waited long enough."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = perf_counter() + SLICE_S

    async def step(self) -> None:
        """Let others run if the work has lasted for a millisecond."""
        if perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = perf_counter() + SLICE_S
