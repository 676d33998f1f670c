"""The records of one generation of the read model, searched in memory."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from commands.errors import NotFoundError
from projections.records import BLOCK, DEAD, HEADER
from queries.columns.block import Block
from queries.columns.keys import Keys
from queries.columns.matching import Filters, Matcher
from queries.columns.pace import Pace
from queries.columns.ranking import Ranking
from queries.columns.vocabulary import Vocabulary
from queries.movie_query import MovieQuery
from queries.orderings import Order


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
        self._genres, self._creators = Vocabulary(), Vocabulary()
        self._blocks: list[Block] = []
        self._numbers: list[int] = []
        self._matcher = Matcher(self._genres, self._creators)
        self._keys = Keys(self._genres, self._creators)
        self.movies = 0

    @property
    def memory_bytes(self) -> int:
        """About the size of all of it."""
        blocks = sum(block.memory_bytes for block in self._blocks)
        return blocks + self._keys.title.memory_bytes + self._matcher.memory_bytes

    def extend(self, block: int, records: Sequence[bytes]) -> None:
        """Append records to a block, in order. Only before the first ``put``."""
        if records:
            self._block(block).extend(records)
            self.movies += sum(HEADER.unpack_from(record)[1] != DEAD for record in records)

    def put(self, address: int, record: bytes) -> None:
        """Replace a record, or append it. Raises IndexError if records before it are missing."""
        number, row = divmod(address, BLOCK)
        if row and number not in self._numbers:
            raise IndexError("records before it are missing")
        block = self._block(number)
        if row > block.count:
            raise IndexError("records before it are missing")
        was_alive = row < block.count and block.year[row] != DEAD
        block.put(row, record)
        self.movies += int(block.year[row] != DEAD) - int(was_alive)

    async def prepare(self) -> None:
        """Do ahead what the first searches would have to wait for."""
        pace = Pace()
        for block in self._blocks:
            for _ in block.build_index() if block.needs_index else ():
                await pace.step()
        for order in (Order("created_at"), Order("title")):
            await Ranking(self._keys, (order,), pace).prepare(self._blocks)

    async def find(self, query: MovieQuery) -> Found:
        """Return a page. Raises NotFoundError for a page out of range.

        Others get their turn at least every few milliseconds.
        """
        pace = Pace()
        hits = await self._matcher.matches(Filters.of(query), self._blocks, pace)
        ranking = Ranking(self._keys, query.orderings, pace)
        await ranking.prepare(self._blocks)
        count, size = hits.count, query.page_size
        page = last_page = 0
        if query.after:
            start = await ranking.rank_after(hits, query.after)
        else:
            last_page = max(1, -(-count // size))
            page = query.page or last_page
            if page > last_page:
                raise NotFoundError("Invalid page.")
            start = (page - 1) * size
        stop = min(start + size, count)
        places = await ranking.between(hits, start, stop)
        ids = [block.movie_id(row) for block, row in places]
        return Found(count, ids, page, last_page, more=stop < count)

    def _block(self, number: int) -> Block:
        at = bisect_left(self._numbers, number)
        if at == len(self._numbers) or self._numbers[at] != number:
            self._numbers.insert(at, number)
            self._blocks.insert(at, Block(self._genres, self._creators))
        return self._blocks[at]
