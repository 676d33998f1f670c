"""Collects the records of a generation, which come in any order, and lays them out by creation."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from projections.records import HEADER
from queries.columns.block import RecordColumns
from queries.columns.columns import Columns
from queries.columns.pace import Pace
from queries.columns.trigrams import BLOCK

_HEADERS = np.dtype([("created", "<u8"), ("year", "<u2"), ("high", ">u8"), ("low", ">u8")])
_INDEX_BYTES = 40  # a record, of titles as they usually are


class Loading:
    """Records on their way into ``Columns``. A movie may come twice; any of the two counts."""

    def __init__(self) -> None:
        self._columns = Columns()
        self._pieces: list[RecordColumns] = []
        self.memory_bytes = 0
        """About the size of all of it, once it is laid out."""

    def add(self, records: Sequence[bytes]) -> None:
        """Add records, none of them dead."""
        if not records:
            return
        joined = b"".join([record[: HEADER.size] for record in records])
        headers = np.frombuffer(joined, _HEADERS)
        texts = b"\0".join([record[HEADER.size :] for record in records]).split(b"\0")
        titles = texts[::3]
        sizes = np.fromiter(map(len, titles), np.int64, len(titles)) + 1
        genres, creators = self._columns.genres, self._columns.creators
        piece = RecordColumns(
            created=headers["created"].astype(np.uint64),
            year=headers["year"].astype(np.uint16),
            id_high=headers["high"].astype(np.uint64),
            id_low=headers["low"].astype(np.uint64),
            genre=np.fromiter(map(genres.code, texts[1::3]), np.uint32),
            creator=np.fromiter(map(creators.code, texts[2::3]), np.uint32),
            titles=np.frombuffer(b"\0".join([*titles, b""]), np.uint8),
            title_sizes=sizes,
        )
        self._pieces.append(piece)
        self.memory_bytes += sum(map(len, records)) + _INDEX_BYTES * len(records)

    async def columns(self) -> Columns:
        """Return the records, laid out. Others get their turn meanwhile."""
        columns, pace = self._columns, Pace()
        if self._pieces:
            # In a thread: this takes a while, most of it without the interpreter's lock.
            rows, order = await asyncio.to_thread(_sorted, self._pieces)
            self._pieces.clear()
            starts = np.cumsum(rows.title_sizes) - rows.title_sizes
            for first in range(0, len(order), BLOCK):
                columns.extend(_taken(rows, starts, order[first : first + BLOCK]))
                await pace.step()
        return columns


def _sorted(pieces: list[RecordColumns]) -> tuple[RecordColumns, NDArray[np.int64]]:
    """Return all records, and their places by time of creation and id, each movie once."""
    rows = RecordColumns(*map(np.concatenate, zip(*pieces, strict=True)))
    order = np.lexsort((rows.id_low, rows.id_high, rows.created))
    low, high = rows.id_low[order], rows.id_high[order]
    is_other = np.ones(len(order), np.bool_)
    is_other[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return rows, order[is_other]


def _taken(
    rows: RecordColumns, starts: NDArray[np.int64], places: NDArray[np.int64]
) -> RecordColumns:
    """Return the records at ``places``; titles begin at ``starts``."""
    sizes = rows.title_sizes[places]
    ends = np.cumsum(sizes)
    bytes_at = np.arange(ends[-1]) + np.repeat(starts[places] - (ends - sizes), sizes)
    return RecordColumns(
        created=rows.created[places],
        year=rows.year[places],
        id_high=rows.id_high[places],
        id_low=rows.id_low[places],
        genre=rows.genre[places],
        creator=rows.creator[places],
        titles=rows.titles[bytes_at],
        title_sizes=sizes,
    )
