"""The distinct genres, or usernames, of the records, each with a code."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from queries.columns.pace import Pace

Codes = NDArray[np.uint32]
_CACHED_PARTS = 256
_WORDS_AT_ONCE = 4_096
_FEW = 64  # so many new words are inserted, more are sorted


class Vocabulary:
    """Folded words in the order of their first use; a word keeps its code."""

    def __init__(self) -> None:
        self._words: list[bytes] = []
        self._codes: dict[bytes, int] = {}
        self._sorted: list[bytes] = []
        self._ranks = np.zeros(0, np.uint32)
        self._containing: dict[bytes, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self._words)

    def code(self, word: bytes) -> int:
        """Return the code of a word, a new one for a new word."""
        code = self._codes.setdefault(word, len(self._words))
        if code == len(self._words):
            self._words.append(word)
        return code

    def word(self, code: int) -> bytes:
        """Return the word of a code."""
        return self._words[code]

    async def containing(self, part: bytes, pace: Pace) -> NDArray[np.bool_]:
        """Return for each code whether its word contains ``part``."""
        found = self._containing.pop(part, np.zeros(0, np.bool_))
        while len(found) < len(self._words):
            some = self._words[len(found) : len(found) + _WORDS_AT_ONCE]
            found = np.concatenate((found, np.array([part in word for word in some], np.bool_)))
            await pace.step()
        self._containing[part] = found
        if len(self._containing) > _CACHED_PARTS:
            del self._containing[next(iter(self._containing))]
        return found

    def ranks(self) -> Codes:
        """Return for each code the place of its word among the sorted words."""
        if len(self._ranks) != len(self._words):
            new = self._words[len(self._sorted) :]
            if len(new) > _FEW:
                self._sorted = sorted(self._words)
            else:
                for word in new:
                    self._sorted.insert(bisect_left(self._sorted, word), word)
            order = np.fromiter(map(self._codes.__getitem__, self._sorted), np.int64)
            self._ranks = np.empty(len(order), np.uint32)
            self._ranks[order] = np.arange(len(order), dtype=np.uint32)
        return self._ranks

    def place(self, word: bytes) -> tuple[int, bool]:
        """Return how many words sort before ``word``, and whether it is one of them itself."""
        self.ranks()
        place = bisect_left(self._sorted, word)
        return place, place < len(self._sorted) and self._sorted[place] == word
