"""An index of the texts of one block: which rows contain which three bytes.

Texts end with NUL and contain none, so every byte of a text begins a trigram; what would come after
the NUL counts as NUL. Rows that contain one or two bytes are those of a range of trigrams.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint16]
BLOCK = 16_384
"""The largest number of texts."""
_ROW_BITS = BLOCK.bit_length() - 1
LENGTH = 3


class Trigrams:
    """The rows of each trigram, ascending and each once."""

    __slots__ = ("_codes", "_ends", "_rows")

    def __init__(self, codes: NDArray[np.uint32], ends: NDArray[np.uint32], rows: Rows) -> None:
        self._codes = codes
        self._ends = ends  # one more than codes: rows of code k are from ends[k] to ends[k + 1]
        self._rows = rows

    @property
    def memory_bytes(self) -> int:
        """The size of the index."""
        return self._codes.nbytes + self._ends.nbytes + self._rows.nbytes

    def rows_with(self, part: bytes) -> Rows:
        """Return the rows that contain ``part``, of one to three bytes.

        Rows come once and ascending for three bytes, else in any order and several times.
        """
        shift = 8 * (LENGTH - len(part))
        code = int.from_bytes(part) << shift
        first = int(self._codes.searchsorted(np.uint32(code)))
        if shift == 0:
            if first == len(self._codes) or self._codes[first] != code:
                return self._rows[:0]
            last = first + 1
        else:
            last = int(self._codes.searchsorted(np.uint32(code + (1 << shift))))
        return self._rows[self._ends[first] : self._ends[last]]


def build(texts: bytes, lengths: NDArray[np.int64]) -> Iterator[Trigrams | None]:
    """Build the index of texts that each end with NUL; ``lengths`` include it.

    Yields None between steps of about a millisecond for 16,384 titles, and the index at last.
    """
    count = len(texts)
    codes = np.zeros(count, np.uint64)
    ended = np.frombuffer(texts, np.uint8)
    first = ended.astype(np.uint64)
    codes |= first << np.uint64(16 + _ROW_BITS)
    if count:
        second = first[1:].copy()
        codes[:-1] |= second << np.uint64(8 + _ROW_BITS)
        second[second != 0] = 1
        codes[:-2] |= (first[2:] * second[:-1]) << np.uint64(_ROW_BITS)
    yield None
    codes |= np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    codes = codes[first != 0]
    yield None
    codes.sort()
    yield None
    is_new = np.ones(len(codes), bool)
    np.not_equal(codes[1:], codes[:-1], out=is_new[1:])
    codes = codes[is_new]
    rows = (codes & np.uint64(BLOCK - 1)).astype(np.uint16)
    trigrams = (codes >> np.uint64(_ROW_BITS)).astype(np.uint32)
    begins = np.flatnonzero(np.concatenate(([True], trigrams[1:] != trigrams[:-1])))
    begins = begins[: len(trigrams)]
    ends = np.append(begins, len(trigrams)).astype(np.uint32)
    yield Trigrams(trigrams[begins], ends, rows)
