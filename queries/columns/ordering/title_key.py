"""The order by title."""

import random
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from queries.columns.block import Block
from queries.columns.ordering.key import Codes, Key, Value
from queries.columns.pace import Pace

_SPLITTERS, _SAMPLES = 1_024, 8_192
_TITLES_AT_ONCE = 1_024


class TitleKey(Key):
    """The folded title.

    Buckets are bounded by titles of a sample. A title of the sample is a bucket of its own (odd
    numbers), so however many movies share one title, they need not be compared.
    """

    def __init__(self) -> None:
        self._splitters: list[bytes] = []
        self._split_at = 0
        self._codes: list[NDArray[np.uint16]] = []

    @property
    def memory_bytes(self) -> int:
        """The size of the buckets of all rows."""
        return sum(codes.nbytes for codes in self._codes)

    @override
    async def prepare(self, blocks: Sequence[Block], pace: Pace) -> None:
        while not await self.prepare_some(blocks, pace):
            pass

    async def prepare_some(self, blocks: Sequence[Block], pace: Pace) -> bool:
        """Bring the buckets of at least one block up to date; return whether all of them are."""
        rows = sum(block.count for block in blocks)
        if rows > 2 * self._split_at:
            self._split(blocks, rows)
        for at, block in enumerate(blocks):
            changed = block.changed_titles
            if at == len(self._codes) or changed is None or len(changed) > _TITLES_AT_ONCE:
                block.changed_titles = set()
                self._codes[at : at + 1] = [await self._codes_of(block, pace)]
                return False
            if changed:
                codes = self._codes[at]
                if len(codes) < block.count:
                    codes = self._codes[at] = np.resize(codes, block.count)
                for row in changed:
                    codes[row] = self._bucket(block.title(row))
                changed.clear()
            await pace.step()
        return True

    def _split(self, blocks: Sequence[Block], rows: int) -> None:
        chosen = random.Random(rows)  # noqa: S311 - a sample
        sample: list[bytes] = []
        for block in blocks:
            share = -(-_SAMPLES * block.count // rows)
            sample += (block.title(chosen.randrange(block.count)) for _ in range(share))
        sample.sort()
        self._splitters = sorted(set(sample[:: max(1, len(sample) // _SPLITTERS)]))
        self._split_at = rows
        self._codes = []
        self.buckets = 2 * len(self._splitters) + 1

    async def _codes_of(self, block: Block, pace: Pace) -> NDArray[np.uint16]:
        titles, bucket = block.titles(), self._bucket
        codes = np.zeros(block.count, np.uint16)
        for start in range(0, len(titles), _TITLES_AT_ONCE):
            some = titles[start : start + _TITLES_AT_ONCE]
            codes[start : start + len(some)] = [bucket(title) for title in some]
            await pace.step()
        return codes

    def _bucket(self, title: bytes) -> int:
        splitters = self._splitters
        place = bisect_left(splitters, title)
        return 2 * place + (place < len(splitters) and splitters[place] == title)

    @override
    def codes(self, at: int, block: Block) -> Codes:
        return self._codes[at]

    @override
    def is_exact(self, bucket: int) -> bool:
        return bucket % 2 == 1

    @override
    def place(self, value: Value) -> tuple[int, bool]:
        assert isinstance(value, bytes)  # noqa: S101 - from parse
        return self._bucket(value), True

    @override
    def value(self, block: Block, row: int) -> bytes:
        return block.title(row)

    @override
    def parse(self, text: str) -> bytes:
        return text.encode("utf-8", "surrogatepass")
