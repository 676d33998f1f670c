"""Collects the records of a generation, which come in any order, and lays them out by creation."""

import asyncio
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from projections.records import HEADER
from queries.columns.block import HEADERS
from queries.columns.columns import Columns
from queries.columns.pace import Pace
from queries.columns.trigrams import BLOCK

_AT_ONCE = 1_024
_INDEX_BYTES = 40  # a record, of titles as they usually are


class Loading:
    """Records on their way into ``Columns``. A movie may come twice; any of the two counts."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._sizes = array("H")

    def add(self, records: Iterable[bytes]) -> None:
        """Add records, none of them dead."""
        for record in records:
            self._records += record
            self._sizes.append(len(record))

    @property
    def memory_bytes(self) -> int:
        """About the size of all of it, once it is laid out."""
        return len(self._records) + _INDEX_BYTES * len(self._sizes)

    async def columns(self) -> Columns:
        """Return the records, laid out. Others get their turn meanwhile."""
        pace, columns = Pace(), Columns()
        sizes = np.frombuffer(self._sizes, np.uint16)
        # In a thread: sorting a million takes a while, without the interpreter's lock.
        spans = await asyncio.to_thread(_spans, np.frombuffer(self._records, np.uint8), sizes)
        for first in range(0, len(spans), BLOCK):
            for start in range(first, min(first + BLOCK, len(spans)), _AT_ONCE):
                some = spans[start : min(start + _AT_ONCE, first + BLOCK)].tolist()
                columns.extend([self._records[begin:end] for begin, end in some])
                await pace.step()
        return columns


def _spans(records: NDArray[np.uint8], sizes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return begin and end of the records by time of creation and id, each movie once."""
    ends = np.cumsum(sizes, dtype=np.int64)
    begins = ends - sizes
    created, high, low = (np.zeros(len(begins), np.uint64) for _ in range(3))
    step = 16 * _AT_ONCE
    for start in range(0, len(begins), step):
        places = begins[start : start + step, None] + np.arange(HEADER.size)
        headers = records[places].view(HEADERS).ravel()
        rows = slice(start, start + step)
        created[rows], high[rows], low[rows] = headers["created"], headers["high"], headers["low"]
    order = np.lexsort((low, high, created))
    is_other = np.ones(len(order), np.bool_)
    is_other[1:] = (low[order[1:]] != low[order[:-1]]) | (high[order[1:]] != high[order[:-1]])
    order = order[is_other]
    return np.column_stack((begins[order], ends[order]))
