"""What lists are ordered by.

A key divides all records into *buckets*, in its order, so that a page deep in a long list is found
by counting. A bucket is *exact* if its records are equal in this key; else they must be compared.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from queries.columns.block import Block
from queries.columns.pace import Pace

Codes = int | NDArray[np.unsignedinteger]
"""The bucket of each row of a block, or of all of them."""
Value = int | bytes
# Read as numbers, they turn an order of texts that end with NUL around.
_COMPLEMENT = bytes(range(255, -1, -1))


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


def directed(value: Value, *, descending: bool) -> Value:
    """Return a value that sorts the other way round if ``descending``."""
    if not descending:
        return value
    if isinstance(value, int):
        return -value
    return (value + b"\0").translate(_COMPLEMENT)
