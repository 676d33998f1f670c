"""What lists are ordered by: the keys of all fields."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from queries.columns.block import Block
from queries.columns.ordering.key import Codes, Key, Value
from queries.columns.ordering.number_keys import CreatedKey, IdKey
from queries.columns.ordering.title_key import TitleKey
from queries.columns.pace import Pace
from queries.columns.vocabulary import Vocabulary
from queries.orderings import Field

_YEARS = 10_000


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
