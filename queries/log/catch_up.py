"""Catching up: reads of the log for streams that are far behind, at a pace that spares others.

One read at a time, accounts in turn, with a pause after each. So the streams of one account that
begin at 0 delay neither other requests of the process nor the streams of another account for long.
Streams at the same place share what was read.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

from queries.turns import Turns

EVENTS = 200
# A read makes way for twice the time it took; one that was spared, for a millisecond.
_REST, _LONGEST_REST_S, _SPARED_REST_S = 2.0, 0.05, 0.001
_KEPT = 64


class RenderedEvent(NamedTuple):
    """What goes over the wire, and the place in the log that it leads to."""

    position: int
    text: bytes


class EventBatch(NamedTuple):
    """Events in log order, and the position up to which there are no others."""

    events: list[RenderedEvent]
    reached: int


ReadBatch = Callable[[int, int], Awaitable[EventBatch]]


class CatchUp:
    """Reads for the streams of one event loop; ``read(after, limit)`` reads a stretch."""

    def __init__(self, read: ReadBatch) -> None:
        self._read = read
        # A stream waits at most once, and their number is bounded elsewhere.
        self._turns = Turns("reads of the log", running=1, waiting=1_000_000, patient=True)
        self._kept: OrderedDict[int, EventBatch] = OrderedDict()

    async def after(self, place: int, account: Hashable) -> EventBatch:
        """Return events after a place. Raises what ``read`` raises."""
        async with self._turns.of(account):
            if stretch := self._kept.get(place):
                rest_s = _SPARED_REST_S
            else:
                began = time.monotonic()
                stretch = await self._read(place, EVENTS)
                rest_s = min(_LONGEST_REST_S, _REST * (time.monotonic() - began))
                if stretch.reached > place:  # the end of the log is another one soon
                    self._kept[place] = stretch
                    if len(self._kept) > _KEPT:
                        self._kept.popitem(last=False)
            await asyncio.sleep(rest_s)
        return stretch
