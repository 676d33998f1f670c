"""The records of one generation of the read model, searched in memory."""

from dataclasses import dataclass

from projections.records import HEADER, is_dead
from queries.columns.block import Block, RecordColumns
from queries.columns.matching import Filters, Matcher
from queries.columns.ordering.keys import Keys
from queries.columns.ordering.ranking import Ranking
from queries.columns.pace import Pace
from queries.columns.trigrams import BLOCK
from queries.columns.vocabulary import Vocabulary
from queries.movie_query import MovieQuery
from queries.pages import page_within


@dataclass(frozen=True)
class Found:
    """A page of a list: the number of all movies, and the ids of these.

    ``page`` and ``last_page`` are 0 where the page was asked for by a seek key.
    """

    count: int
    ids: list[str]
    page: int
    last_page: int
    more: bool


class Columns:
    """The records, for one event loop. Nothing may be changed while a ``find`` runs."""

    def __init__(self) -> None:
        self.genres, self.creators = Vocabulary(), Vocabulary()
        self._blocks: list[Block] = []
        self._matcher = Matcher(self.genres, self.creators)
        self._keys = Keys(self.genres, self.creators)
        self.movies = 0

    @property
    def memory_bytes(self) -> int:
        """About the size of all of it."""
        blocks = sum(block.memory_bytes for block in self._blocks)
        return blocks + self._keys.title.memory_bytes + self._matcher.memory_bytes

    def extend(self, rows: RecordColumns) -> None:
        """Append a block of records, in the order of creation. Before the first change."""
        block = Block(self.genres, self.creators)
        block.extend(rows)
        self._blocks.append(block)
        self.movies += block.count

    def apply(self, record: bytes) -> None:
        """Add or replace the record of a movie, or remove it if it is dead."""
        movie_id = HEADER.unpack_from(record)[2]
        block, row = self._find(int.from_bytes(movie_id[:8]), int.from_bytes(movie_id[8:]))
        was_alive = row is not None and block.is_alive(row)
        if is_dead(record):
            if row is not None and was_alive:
                block.remove(row)
                self.movies -= 1
            return
        if row is None:
            if block.count == BLOCK:
                block = Block(self.genres, self.creators)
                self._blocks.append(block)
            row = block.count
        block.put(row, record)
        self.movies += not was_alive

    def _searched(self) -> list[Block]:
        return [block for block in self._blocks if block.count]

    def _find(self, high: int, low: int) -> tuple[Block, int | None]:
        """Return the place of an id, or the last block and None."""
        for block in reversed(self._blocks):
            if (row := block.find(high, low)) is not None:
                return block, row
        if not self._blocks:
            self._blocks.append(Block(self.genres, self.creators))
        return self._blocks[-1], None

    async def prepare_some(self) -> bool:
        """Do a part of what the first searches would have to wait for; return True at the end."""
        pace, blocks = Pace(), self._searched()
        for block in blocks:
            if block.needs_index:
                for _ in block.build_index():
                    await pace.step()
                return False
        return await self._keys.title.prepare_some(blocks, pace)

    async def find(self, query: MovieQuery) -> Found:
        """Return a page. Raises NotFoundError for a page out of range.

        Others get their turn at least every few milliseconds.
        """
        pace, blocks = Pace(), self._searched()
        hits = await self._matcher.matches(Filters.of(query), blocks, pace)
        ranking = Ranking(self._keys, query.orderings, pace)
        await ranking.prepare(blocks)
        count, size = hits.count, query.page_size
        page = last_page = 0
        if query.after:
            start = await ranking.rank_after(hits, query.after)
        else:
            page, last_page = page_within(count, query.page, size)
            start = (page - 1) * size
        stop = min(start + size, count)
        places = await ranking.between(hits, start, stop)
        ids = [block.movie_id(row) for block, row in places]
        return Found(count, ids, page, last_page, more=stop < count)
