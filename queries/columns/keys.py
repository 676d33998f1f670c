"""What lists are ordered by.

A key divides all records into *buckets*, in its order, so that a page deep in a long list is found
by counting. A bucket is *exact* if its records are equal in this key; else they must be compared.
"""

import random
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from queries.columns.block import Block
from queries.columns.pace import Pace
from queries.columns.vocabulary import Vocabulary
from queries.orderings import Field

Codes = int | NDArray[np.unsignedinteger]
"""The bucket of each row of a block, or of all of them."""
Value = int | bytes
# Read as numbers, they turn an order of texts that end with NUL around.
_COMPLEMENT = bytes(range(255, -1, -1))
_YEARS = 10_000
_SPLITTERS, _SAMPLES = 1_024, 8_192
_TITLES_AT_ONCE = 1_024


class Key(ABC):
    """A field that lists are ordered by. ``prepare`` comes before all other calls."""

    buckets: int

    @abstractmethod
    async def prepare(self, blocks: Sequence[Block], pace: Pace) -> None:
        """Bring the buckets up to date."""

    @abstractmethod
    def codes(self, at: int, block: Block) -> Codes:
        """Return the buckets of a block, the ``at``-th."""

    @abstractmethod
    def is_exact(self, bucket: int) -> bool:
        """Return whether all records of a bucket are equal in this key."""

    @abstractmethod
    def place(self, value: Value) -> tuple[int, bool]:
        """Return the bucket of a value, and False if it lies right before that bucket instead."""

    @abstractmethod
    def value(self, block: Block, row: int) -> Value:
        """Return the value of a row."""

    @abstractmethod
    def parse(self, text: str) -> Value:
        """Return the value in a seek key."""


class NumberKey(Key):
    """Numbers that grow with the addresses of records, or nearly so: a bucket for each block."""

    def __init__(self, column: Literal["created", "id_high"]) -> None:
        self._column: Literal["created", "id_high"] = column
        self._splitters = np.zeros(0, np.uint64)
        self._known: list[tuple[int, int]] = []  # of each block: count of changes, smallest value
        self._codes: list[Codes | None] = []

    @override
    async def prepare(self, blocks: Sequence[Block], pace: Pace) -> None:
        is_same = True
        for at, block in enumerate(blocks):
            if at < len(self._known) and self._known[at][0] == block.moved:
                continue
            is_same = False
            self._known[at : at + 1] = [(block.moved, self._least(block))]
            self._codes[at : at + 1] = [None]
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


class YearKey(Key):
    """The year: each is a bucket."""

    buckets = _YEARS

    @override
    async def prepare(self, blocks: Sequence[Block], pace: Pace) -> None:
        pass

    @override
    def codes(self, at: int, block: Block) -> Codes:
        return block.year[: block.count]

    @override
    def is_exact(self, bucket: int) -> bool:
        return True

    @override
    def place(self, value: Value) -> tuple[int, bool]:
        return int(value), True

    @override
    def value(self, block: Block, row: int) -> int:
        return int(block.year[row])

    @override
    def parse(self, text: str) -> int:
        return int(text)


class WordKey(Key):
    """A genre or username: each is a bucket."""

    def __init__(
        self,
        words: Vocabulary,
        codes: Callable[[Block], NDArray[np.uint32]],
    ) -> None:
        self._words = words
        self._codes = codes

    @override
    async def prepare(self, blocks: Sequence[Block], pace: Pace) -> None:
        self.buckets = max(1, len(self._words))

    @override
    def codes(self, at: int, block: Block) -> Codes:
        ranks: NDArray[np.uint32] = self._words.ranks()[self._codes(block)[: block.count]]
        return ranks

    @override
    def is_exact(self, bucket: int) -> bool:
        return True

    @override
    def place(self, value: Value) -> tuple[int, bool]:
        assert isinstance(value, bytes)  # noqa: S101 - from parse
        return self._words.place(value)

    @override
    def value(self, block: Block, row: int) -> bytes:
        return self._words.word(int(self._codes(block)[row]))

    @override
    def parse(self, text: str) -> bytes:
        return text.encode("utf-8", "surrogatepass")


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
        rows = sum(block.count for block in blocks)
        if rows > 2 * self._split_at:
            self._split(blocks, rows)
        for at, block in enumerate(blocks):
            changed = block.changed_titles
            if at == len(self._codes) or changed is None or len(changed) > _TITLES_AT_ONCE:
                block.changed_titles = set()
                self._codes[at : at + 1] = [await self._codes_of(block, pace)]
            elif changed:
                codes = self._codes[at]
                if len(codes) < block.count:
                    codes = self._codes[at] = np.resize(codes, block.count)
                for row in changed:
                    codes[row] = self._bucket(block.title(row))
                changed.clear()
            await pace.step()

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


def directed(value: Value, *, descending: bool) -> Value:
    """Return a value that sorts the other way round if ``descending``."""
    if not descending:
        return value
    if isinstance(value, int):
        return -value
    return (value + b"\0").translate(_COMPLEMENT)


class Keys:
    """The keys of all fields."""

    def __init__(self, genres: Vocabulary, creators: Vocabulary) -> None:
        self.title = TitleKey()
        self._keys: dict[Field, Key] = {
            "created_at": CreatedKey(),
            "id": IdKey(),
            "year": YearKey(),
            "title": self.title,
            "genre": WordKey(genres, lambda block: block.genre),
            "creator": WordKey(creators, lambda block: block.creator),
        }

    def of(self, field: Field) -> Key:
        """Return the key of a field."""
        return self._keys[field]
