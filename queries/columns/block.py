"""A block of records as columns, and the bytes of its titles with their index.

Titles that changed since the index was built are kept beside it (*fresh*) and searched one by one,
until there are so many that the index is built again.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from commands.event_store.event_codec import stream_id_of
from projections.records import DEAD, HEADER
from queries.columns.trigrams import BLOCK, LENGTH, Trigrams, build
from queries.columns.vocabulary import Vocabulary

Bits = NDArray[np.uint8]
"""A bit for each row of a block, packed: 2,048 bytes."""
Bools = NDArray[np.bool_]
MAX_FRESH = 512
"""With more changed titles, the index is built again."""
# Candidates that are checked one by one; more are found by one pass over all titles.
_FEW = 300
_FRESH_BYTES = 150  # of a small bytes object in a dictionary


class RecordColumns(NamedTuple):
    """Records that are not dead, as columns."""

    created: NDArray[np.uint64]
    year: NDArray[np.uint16]
    id_high: NDArray[np.uint64]
    id_low: NDArray[np.uint64]
    genre: NDArray[np.uint32]
    creator: NDArray[np.uint32]
    titles: NDArray[np.uint8]
    """The folded titles one after the other, each ended by NUL."""
    title_sizes: NDArray[np.int64]
    """The bytes of each title, with its NUL."""


class Block:
    """Up to 16,384 records. ``version`` changes with each change."""

    def __init__(self, genres: Vocabulary, creators: Vocabulary) -> None:
        self._genres, self._creators = genres, creators
        self.count = 0
        self.version = 0
        self.created = np.zeros(0, np.uint64)
        self.id_high = np.zeros(0, np.uint64)
        self.id_low = np.zeros(0, np.uint64)
        self.year = np.zeros(0, np.uint16)
        self.genre = np.zeros(0, np.uint32)
        self.creator = np.zeros(0, np.uint32)
        self._first_high, self._last_high = 2**64, -1
        self.moved = 0
        """Changes with each record that is added."""
        self.changed_titles: set[int] | None = None
        """Rows whose titles changed, for whoever sets it to an empty set."""
        self._texts = b""
        self._offsets = np.zeros(1, np.uint32)
        self._fresh: dict[int, bytes] = {}
        self._index: Trigrams | None = None
        self._alive: Bits | None = None
        self._fresh_texts: tuple[NDArray[np.int64], bytes] | None = None

    def extend(self, rows: RecordColumns) -> None:
        """Append records. Only before the first change."""
        count = len(rows.created)
        self._grow(self.count + count)
        at = slice(self.count, self.count + count)
        self.created[at], self.year[at] = rows.created, rows.year
        self.id_high[at], self.id_low[at] = rows.id_high, rows.id_low
        self.genre[at], self.creator[at] = rows.genre, rows.creator
        self._texts += rows.titles.tobytes()
        ends = self._offsets[-1] + np.cumsum(rows.title_sizes)
        self._offsets = np.append(self._offsets, ends.astype(np.uint32))
        self.count += count
        self.moved += 1
        self._note_ids(int(rows.id_high.min()), int(rows.id_high.max()))
        self._changed()

    def put(self, row: int, record: bytes) -> None:
        """Replace a record, or append it if ``row`` is the number of records."""
        created, year, movie_id = HEADER.unpack_from(record)
        title, genre, creator = record[HEADER.size :].split(b"\0")
        if row == self.count:
            self._grow(row + 1)
            self.count += 1
            self.moved += 1
            self.created[row] = created
            high, low = int.from_bytes(movie_id[:8]), int.from_bytes(movie_id[8:])
            self.id_high[row], self.id_low[row] = high, low
            self._note_ids(high, high)
        self.year[row] = year
        self.genre[row] = self._genres.code(genre)
        self.creator[row] = self._creators.code(creator)
        self._set_title(row, title)

    def remove(self, row: int) -> None:
        """Make a record dead. Its place stays, for an event that restores the movie."""
        self.year[row] = DEAD
        self._set_title(row, b"")

    def find(self, high: int, low: int) -> int | None:
        """Return the row of an id, given as two numbers of 64 bits."""
        if not self._first_high <= high <= self._last_high:
            return None
        for row in np.flatnonzero(self.id_low[: self.count] == np.uint64(low)).tolist():
            if self.id_high[row] == high:
                return int(row)
        return None

    def is_alive(self, row: int) -> bool:
        """Return whether a row has a movie."""
        return bool(self.year[row] != DEAD)

    def _set_title(self, row: int, title: bytes) -> None:
        self._fresh[row] = title
        if self.changed_titles is not None:
            self.changed_titles.add(row)
        self._changed()

    def _note_ids(self, first: int, last: int) -> None:
        self._first_high = min(self._first_high, first)
        self._last_high = max(self._last_high, last)

    def _grow(self, rows: int) -> None:
        capacity = len(self.year)
        if rows <= capacity:
            return
        more = min(BLOCK, max(rows, 2 * capacity, 64)) - capacity
        for name in ("created", "id_high", "id_low", "year", "genre", "creator"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.zeros(more, column.dtype))))

    def _changed(self) -> None:
        self.version += 1
        self._alive = self._fresh_texts = None

    @property
    def alive(self) -> Bits:
        """The rows that have a movie."""
        if self._alive is None:
            self._alive = np.packbits(self.year[: self.count] != DEAD)
        return self._alive

    @property
    def memory_bytes(self) -> int:
        """About the size of the block."""
        arrays = (self.created, self.id_high, self.id_low, self.year, self.genre, self.creator)
        size = sum(array.nbytes for array in arrays) + len(self._texts) + self._offsets.nbytes
        size += sum(map(len, self._fresh.values())) + _FRESH_BYTES * len(self._fresh)
        return size + (self._index.memory_bytes if self._index else 0)

    def movie_id(self, row: int) -> str:
        """Return the id of a row."""
        return stream_id_of(f"{self.id_high[row]:016x}{self.id_low[row]:016x}")

    def title(self, row: int) -> bytes:
        """Return the folded title of a row."""
        if (fresh := self._fresh.get(row)) is not None:
            return fresh
        return self._texts[self._offsets[row] : self._offsets[row + 1] - 1]

    def titles(self) -> list[bytes]:
        """Return all folded titles."""
        titles = self._texts.split(b"\0")
        titles[self.count :] = []
        titles += [b""] * (self.count - len(titles))
        for row, title in self._fresh.items():
            titles[row] = title
        return titles

    @property
    def needs_index(self) -> bool:
        """Whether the index of titles must be built before they are searched."""
        return self._index is None or len(self._fresh) > MAX_FRESH

    def build_index(self) -> Iterator[None]:
        """Build the index of titles, in steps. Nothing may change meanwhile."""
        texts = b"\0".join(self.titles()) + b"\0" if self.count else b""
        bytes_ = np.frombuffer(texts, np.uint8)
        ends = np.flatnonzero(bytes_ == 0) + 1
        offsets = np.concatenate(([0], ends))
        yield
        for index in build(texts, np.diff(offsets)):
            if index is not None:
                self._index = index
            yield
        self._texts, self._offsets = texts, offsets.astype(np.uint32)
        self._fresh, self._fresh_texts = {}, None

    def rows_with(self, part: bytes) -> Bools:
        """Return for each row whether its title contains ``part``, which is not empty."""
        index = self._index
        assert index is not None, "needs_index"  # noqa: S101
        found = np.zeros(self.count, np.bool_)
        if len(part) <= LENGTH:
            found[index.rows_with(part)] = True
        else:
            self._check_candidates(index, part, found)
        if self._fresh:
            if self._fresh_texts is None:
                rows = np.fromiter(self._fresh, np.int64, len(self._fresh))
                self._fresh_texts = rows, b"\0".join(self._fresh.values())
            rows, texts = self._fresh_texts
            found[rows] = False
            if part in texts:
                for row, title in self._fresh.items():
                    if part in title:
                        found[row] = True
        return found

    def _check_candidates(self, index: Trigrams, part: bytes, found: Bools) -> None:
        sets = [index.rows_with(part[at : at + LENGTH]) for at in range(len(part) - LENGTH + 1)]
        sets.sort(key=len)
        rows = sets[0]
        for other in sets[1:]:
            if not len(rows):
                return
            marked = np.zeros(BLOCK, np.bool_)
            marked[other] = True
            rows = rows[marked[rows]]
        texts, offsets = self._texts, self._offsets
        if len(rows) <= _FEW:
            begins, ends = offsets[rows].tolist(), offsets[rows + 1].tolist()
            find, spans = texts.find, zip(rows.tolist(), begins, ends, strict=True)
            found[[row for row, begin, end in spans if find(part, begin, end) >= 0]] = True
            return
        all_bytes = np.frombuffer(texts, np.uint8)
        size = len(texts) - len(part) + 1
        at = np.flatnonzero(all_bytes[:size] == part[0])
        for place, byte in enumerate(part[1:], 1):
            at = at[all_bytes[at + place] == byte]
        found[np.searchsorted(offsets, at, "right") - 1] = True
