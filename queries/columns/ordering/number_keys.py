"""Orders by the time of creation, and by id."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from queries.columns.block import Block
from queries.columns.ordering.key import Codes, Key, Value
from queries.columns.pace import Pace


class NumberKey(Key):
    """Numbers that grow with the addresses of records, or nearly so: a bucket for each block."""

    def __init__(self, column: Literal["created", "id_high"]) -> None:
        self._column: Literal["created", "id_high"] = column
        self._splitters = np.zeros(0, np.uint64)
        self._known: list[tuple[int, int]] = []  # of each block: count of changes, smallest value
        self._codes: list[Codes | None] = []
        self._ascending: list[bool] = []

    @override
    async def prepare(self, blocks: Sequence[Block], pace: Pace) -> None:
        is_same = True
        for at, block in enumerate(blocks):
            if at < len(self._known) and self._known[at][0] == block.moved:
                continue
            is_same = False
            self._known[at : at + 1] = [(block.moved, self._least(block))]
            self._codes[at : at + 1] = [None]
            values = getattr(block, self._column)[: block.count]
            self._ascending[at : at + 1] = [bool((values[1:] >= values[:-1]).all())]
            await pace.step()
        if is_same:
            return
        least = np.array([least for _, least in self._known[1:]], np.uint64)
        splitters = np.maximum.accumulate(least) if len(least) else least
        is_same = np.array_equal(splitters, self._splitters)
        self._splitters, self.buckets = splitters, len(splitters) + 1
        for at, block in enumerate(blocks):
            if not is_same or self._codes[at] is None:
                self._codes[at] = self._codes_of(block)
                await pace.step()

    def _least(self, block: Block) -> int:
        """Return the least value but for outliers, which would make neighbours share a bucket."""
        values = getattr(block, self._column)[: block.count]
        few = min(len(values) - 1, len(values) // 64)
        least = int(values.min())
        usual = int(np.partition(values, few)[few]) if few else least
        return usual if usual - least > int(values.max()) - usual else least

    def _codes_of(self, block: Block) -> Codes:
        values = getattr(block, self._column)[: block.count]
        low, high = self._splitters.searchsorted([values.min(), values.max()], "right")
        if low == high:
            return int(low)
        codes: NDArray[np.int64] = self._splitters.searchsorted(values, "right")
        return codes.astype(np.uint32)

    @override
    def codes(self, at: int, block: Block) -> Codes:
        codes = self._codes[at]
        assert codes is not None, "prepare"  # noqa: S101
        return codes

    def ascends(self, at: int) -> bool:
        """Return whether the rows of a block, the ``at``-th, are in the order of their numbers."""
        return self._ascending[at]

    @override
    def is_exact(self, bucket: int) -> bool:
        return False

    def numbers(self, block: Block, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return a number for each row; numbers sort as the values do, but for ties."""
        values: NDArray[np.uint64] = getattr(block, self._column)[rows]
        return values


class CreatedKey(NumberKey):
    """The time of creation, in microseconds since the epoch."""

    def __init__(self) -> None:
        super().__init__("created")

    @override
    def place(self, value: Value) -> tuple[int, bool]:
        # A seek key may name any number.
        number = min(max(int(value), 0), 2**64 - 1)
        return int(self._splitters.searchsorted(np.uint64(number), "right")), True

    @override
    def value(self, block: Block, row: int) -> int:
        return int(block.created[row])

    @override
    def parse(self, text: str) -> int:
        return int(text)


class IdKey(NumberKey):
    """The id as a number of 128 bits."""

    def __init__(self) -> None:
        super().__init__("id_high")

    @override
    def place(self, value: Value) -> tuple[int, bool]:
        return int(self._splitters.searchsorted(np.uint64(int(value) >> 64), "right")), True

    @override
    def value(self, block: Block, row: int) -> int:
        return int(block.id_high[row]) << 64 | int(block.id_low[row])

    @override
    def parse(self, text: str) -> int:
        return UUID(text).int
