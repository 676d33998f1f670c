"""Finds a page of a list: the records at given ranks in an order, and the rank of a seek key.

The records are counted by the buckets of the first key. Only the bucket that a rank falls into is
looked at more closely: by the next key if its records are equal in this one, else record by record.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from queries.columns.block import Block
from queries.columns.ordering.key import Key, Value, directed
from queries.columns.ordering.keys import Keys
from queries.columns.ordering.number_keys import NumberKey
from queries.columns.pace import Pace
from queries.orderings import Order, Orderings

_FEW = 256
"""So many records are sorted one by one."""
_MANY = 2_048
"""Of so many rows in a block, the bits alone are kept."""
Place = tuple[Block, int]
"""A record: its block, and its row there."""
Rows = NDArray[np.int64]
_TIES = Order("id", descending=True)


@dataclass
class Part:
    """Some rows of a block, the ``at``-th of all; they are listed when they are needed."""

    at: int
    block: Block
    count: int
    bits: NDArray[np.uint8] | None = None
    _rows: Rows | None = None

    @property
    def rows(self) -> Rows:
        """The rows, ascending."""
        if self._rows is None:
            assert self.bits is not None  # noqa: S101 - either of them is given
            self._rows = np.flatnonzero(np.unpackbits(self.bits, count=self.block.count))
        return self._rows

    def release(self) -> None:
        """Forget the listed rows if they are many and can be listed again."""
        if self.bits is not None and self.count > _MANY:
            self._rows = None


@dataclass
class Hits:
    """The records that pass a filter, and their counts by bucket, which serve all pages."""

    parts: list[Part]
    count: int
    histograms: dict[str, NDArray[np.int64]] = field(default_factory=dict)


class _DirectedKey(NamedTuple):
    field: str
    key: Key
    descending: bool

    def of(self, place: Place) -> Value:
        return directed(self.key.value(*place), descending=self.descending)


class Ranking:
    """Records in the order of some fields; ties come newest first."""

    def __init__(self, keys: Keys, orderings: Orderings, pace: Pace) -> None:
        fields = [*orderings]
        if orderings[-1].field != "id":
            fields.append(_TIES)
        self._keys = [_DirectedKey(one.field, keys.of(one.field), one.descending) for one in fields]
        self._pace = pace

    async def prepare(self, blocks: Sequence[Block]) -> None:
        """Bring the keys up to date."""
        for key in self._keys:
            await key.key.prepare(blocks, self._pace)

    async def between(self, hits: Hits, start: int, stop: int) -> list[Place]:
        """Return the records from one rank to before another; both exist."""
        return await self._between(hits, 0, start, stop)

    async def rank_after(self, hits: Hits, seek_key: str) -> int:
        """Return how many records come before a seek key or have it."""
        texts = seek_key.split("\0")
        if len(texts) < len(self._keys):
            texts.append(texts[-1])
        values = [one.key.parse(text) for one, text in zip(self._keys, texts, strict=False)]
        return await self._rank(hits, 0, values)

    async def _between(self, hits: Hits, depth: int, start: int, stop: int) -> list[Place]:
        if start >= stop:
            return []
        if hits.count <= _FEW:
            return self._sorted(_places(hits.parts), depth)[start:stop]
        key = self._keys[depth]
        counts = await self._histogram(hits, key)
        ends = np.cumsum(counts[::-1] if key.descending else counts)
        first = int(ends.searchsorted(start, "right"))
        last = int(ends.searchsorted(stop - 1, "right"))
        groups = sorted({(first, first), (first + 1, last - 1), (last, last)})
        found: list[Place] = []
        for low, high in groups:
            if low > high:
                continue
            before = int(ends[low - 1]) if low else 0
            span = (max(start - before, 0), min(stop, int(ends[high])) - before)
            if span[0] >= span[1]:
                continue
            buckets = (len(ends) - 1 - high, len(ends) - 1 - low) if key.descending else (low, high)
            some = await self._within(hits, key, *buckets)
            if low == high and key.key.is_exact(buckets[0]):
                found += await self._between(some, depth + 1, *span)
            else:
                found += self._compared(some, depth, *span)
        return found

    async def _rank(self, hits: Hits, depth: int, values: list[Value]) -> int:
        key, value = self._keys[depth], values[depth]
        if hits.count <= _FEW:
            return self._count_to(_places(hits.parts), depth, values)
        counts = await self._histogram(hits, key)
        bucket, is_there = key.key.place(value)
        if not is_there:
            return int(counts[bucket:].sum() if key.descending else counts[:bucket].sum())
        before = int(counts[bucket + 1 :].sum() if key.descending else counts[:bucket].sum())
        some = await self._within(hits, key, bucket, bucket)
        if key.key.is_exact(bucket):
            return before + await self._rank(some, depth + 1, values)
        numbers, parts = _numbers(some, key.key), some.parts
        if numbers is None:
            return before + self._count_to(_places(parts), depth, values)
        # Only those that are equal as numbers need be compared as a whole.
        number = min(int(value) if key.field != "id" else int(value) >> 64, 2**64 - 1)
        wanted = np.uint64(max(number, 0))
        before += int(np.count_nonzero(numbers > wanted if key.descending else numbers < wanted))
        ties = _picked(parts, np.flatnonzero(numbers == wanted))
        return before + self._count_to(ties, depth, values)

    async def _histogram(self, hits: Hits, key: _DirectedKey) -> NDArray[np.int64]:
        if (known := hits.histograms.get(key.field)) is not None:
            return known
        counts = np.zeros(key.key.buckets, np.int64)
        for part in hits.parts:
            codes = key.key.codes(part.at, part.block)
            if isinstance(codes, int):
                counts[codes] += part.count
            else:
                counts += np.bincount(codes[part.rows], minlength=len(counts))
                part.release()
            await self._pace.step()
        hits.histograms[key.field] = counts
        return counts

    async def _within(self, hits: Hits, key: _DirectedKey, low: int, high: int) -> Hits:
        """Return the records in some buckets."""
        parts: list[Part] = []
        for part in hits.parts:
            codes = key.key.codes(part.at, part.block)
            if isinstance(codes, int):
                if low <= codes <= high:
                    parts.append(part)
                continue
            of_rows = codes[part.rows]
            rows = part.rows[(of_rows >= low) & (of_rows <= high)]
            part.release()
            if len(rows):
                parts.append(Part(part.at, part.block, len(rows), None, rows))
            await self._pace.step()
        return Hits(parts, sum(part.count for part in parts))

    def _compared(self, hits: Hits, depth: int, start: int, stop: int) -> list[Place]:
        key = self._keys[depth]
        if len(hits.parts) == 1 and isinstance(key.key, NumberKey):
            (part,) = hits.parts
            if key.key.ascends(part.at):
                return self._ascending(part, key.key, depth, start, stop)
        numbers = _numbers(hits, key.key)
        if numbers is None:
            return self._sorted(_places(hits.parts), depth)[start:stop]
        order = numbers.argsort(kind="stable")  # quick where they ascend already
        if key.descending:
            order = order[::-1]
        ranked = numbers[order]
        low, high = start, stop
        while low and ranked[low - 1] == ranked[start]:
            low -= 1
        while high < len(ranked) and ranked[high] == ranked[stop - 1]:
            high += 1
        some = self._sorted(_picked(hits.parts, order[low:high]), depth)
        return some[start - low : stop - low]

    def _ascending(
        self, part: Part, key: NumberKey, depth: int, start: int, stop: int
    ) -> list[Place]:
        """Return records of one block whose rows are in order, but for ties."""
        rows, is_descending = part.rows, self._keys[depth].descending
        low, high = (len(rows) - stop, len(rows) - start) if is_descending else (start, stop)

        def number(at: int) -> int:
            return int(key.numbers(part.block, rows[at : at + 1])[0])

        while low and number(low - 1) == number(low):
            low -= 1
        while high < len(rows) and number(high) == number(high - 1):
            high += 1
        first = len(rows) - high if is_descending else low
        some = self._sorted([(part.block, row) for row in rows[low:high].tolist()], depth)
        part.release()
        return some[start - first : stop - first]

    def _sorted(self, places: Iterable[Place], depth: int) -> list[Place]:
        keys = self._keys[depth:]
        if len(keys) == 1:
            return sorted(places, key=keys[0].of)
        return sorted(places, key=lambda place: [key.of(place) for key in keys])

    def _count_to(self, places: Iterable[Place], depth: int, values: list[Value]) -> int:
        keys = self._keys[depth:]
        wanted = [
            directed(value, descending=key.descending)
            for key, value in zip(keys, values[depth:], strict=True)
        ]
        return sum([key.of(place) for key in keys] <= wanted for place in places)


def _places(parts: Iterable[Part]) -> list[Place]:
    return [(part.block, row) for part in parts for row in part.rows.tolist()]


def _numbers(hits: Hits, key: Key) -> NDArray[np.uint64] | None:
    """Return the number of each record, in the order of parts and rows; None for other keys."""
    if not isinstance(key, NumberKey):
        return None
    numbers = [key.numbers(part.block, part.rows) for part in hits.parts]
    return np.concatenate(numbers) if numbers else np.zeros(0, np.uint64)


def _picked(parts: Sequence[Part], chosen: NDArray[np.int64]) -> list[Place]:
    """Return the records at places in the order of the parts and their rows."""
    ends = np.cumsum([part.count for part in parts])
    places: list[Place] = []
    for number in chosen.tolist():
        at = int(ends.searchsorted(number, "right"))
        part = parts[at]
        places.append((part.block, int(part.rows[number - (int(ends[at]) - part.count)])))
    return places
