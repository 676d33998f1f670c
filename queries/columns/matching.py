"""Which records pass the filters of a query, and how many."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from queries.columns.block import Bits, Block, Bools
from queries.columns.ordering.ranking import Hits, Part
from queries.columns.pace import Pace
from queries.columns.vocabulary import Vocabulary
from queries.movie_query import MovieQuery

MAX_KEPT_BYTES = 16 * 2**20
"""Results of filters that are kept to be used again, in all."""
_MAX_YEAR = 9_999


class Filters(NamedTuple):
    """The filters of a query; texts are folded, "" means none, both years are included."""

    title: bytes
    genre: bytes
    creator: bytes
    search: bytes
    year_from: int
    year_to: int

    @classmethod
    def of(cls, query: MovieQuery) -> "Filters":
        """Return the filters of a query. A text that is no valid Unicode is in no title."""
        texts = (query.title, query.genre, query.creator, query.search)
        title, genre, creator, search = (one.encode("utf-8", "surrogatepass") for one in texts)
        return cls(title, genre, creator, search, query.year_from, query.year_to)


class Matcher:
    """Finds the rows that pass, and keeps results: only blocks that changed are looked at again."""

    def __init__(self, genres: Vocabulary, creators: Vocabulary) -> None:
        self._genres, self._creators = genres, creators
        self._kept: OrderedDict[Filters, _Kept] = OrderedDict()

    async def matches(self, filters: Filters, blocks: Sequence[Block], pace: Pace) -> Hits:
        """Return the records that pass."""
        kept = self._kept.pop(filters, None) or _Kept()
        tests = _BlockFilter(filters)
        if filters.genre:
            tests.genre = await self._genres.containing(filters.genre, pace)
        if filters.creator:
            tests.creator = await self._creators.containing(filters.creator, pace)
        if filters.search:
            tests.search = await self._genres.containing(filters.search, pace)
        has_text, parts, is_same = bool(filters.title or filters.search), kept.parts, True
        for at, block in enumerate(blocks):
            if at < len(parts) and parts[at].block is block and kept.versions[at] == block.version:
                continue
            is_same = False
            if has_text and block.needs_index:
                for _ in block.build_index():
                    await pace.step()
            bits = tests.passing(block)
            parts[at : at + 1] = [Part(at, block, _count(bits), bits)]
            kept.versions[at : at + 1] = [block.version]
            await pace.step()
        if not is_same or kept.hits is None:
            listed = [part for part in parts if part.count]
            kept.hits = Hits(listed, sum(part.count for part in listed))
        self._kept[filters] = kept
        while len(self._kept) > max(1, MAX_KEPT_BYTES // max(1, kept.memory_bytes)):
            self._kept.popitem(last=False)
        return kept.hits

    @property
    def memory_bytes(self) -> int:
        """The size of the results that are kept."""
        return sum(kept.memory_bytes for kept in self._kept.values())


@dataclass
class _Kept:
    """The rows that pass in each block, as of a version of it."""

    parts: list[Part] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    hits: Hits | None = None

    @property
    def memory_bytes(self) -> int:
        bits = sum(part.bits.nbytes for part in self.parts if part.bits is not None)
        counts = self.hits.histograms.values() if self.hits else ()
        return bits + sum(count.nbytes for count in counts)


class _BlockFilter:
    """Filters with what they mean for the codes of genres and creators."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self.genre: Bools | None = None
        self.creator: Bools | None = None
        self.search: Bools | None = None

    def passing(self, block: Block) -> Bits:
        """Return the rows that pass all filters."""
        filters, count = self._filters, block.count
        bits = block.alive
        if filters.title:
            bits = bits & np.packbits(block.rows_with(filters.title))
        if filters.year_from > 0 or filters.year_to <= _MAX_YEAR:
            year = block.year[:count]
            low, high = max(filters.year_from, 0), min(filters.year_to, _MAX_YEAR)
            if low > high:
                return np.zeros_like(bits)
            bits = bits & np.packbits((year >= low) & (year <= high))
        if self.genre is not None:
            bits = bits & np.packbits(self.genre[block.genre[:count]])
        if self.creator is not None:
            bits = bits & np.packbits(self.creator[block.creator[:count]])
        if self.search is not None:
            found = block.rows_with(filters.search) | self.search[block.genre[:count]]
            bits = bits & np.packbits(found)
        return bits


def _count(bits: Bits) -> int:
    whole = len(bits) & ~7
    count = int(np.bitwise_count(bits[:whole].view(np.uint64)).sum())
    return count + int(np.bitwise_count(bits[whole:]).sum())
