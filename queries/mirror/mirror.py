"""A mirror: the records of one generation in memory, as they are in Redis at this moment.

One call at a time asks Redis what has changed, for all requests that wait; a request is answered by
a call that began after it. The records follow the changes of the generation. They are read as a
whole in the beginning, and again if the changes do not lead on: after a repair, after a pause that
was too long, after Redis went back to an earlier state.
"""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import structlog

from commands.errors import BusyError, NotFoundError
from projections.generation.state import CONSTANTS
from projections.keys import Keys
from projections.lua import load_script
from projections.records import unpack
from queries.admission.turns import Turns
from queries.columns.columns import Columns, Found
from queries.columns.pace import Pace
from queries.mirror.page_cache import Page, PageCache, RowCache
from queries.mirror.record_reader import (
    RETRY_TOO_LARGE_S,
    BehindError,
    GoneError,
    LoadingError,
    TooLargeError,
    ask,
    read_all,
)
from queries.mirror.shared_calls import SharedCalls
from queries.movie_query import MovieQuery
from queries.pipelining import RequestBatcher

# How long a request waits for the records to be read; the reading goes on.
LOAD_WAIT_S = 2.0
_TRIES = 30
_FOLLOW = load_script("queries.lua.follow", CONSTANTS)
_NOTHING = Found(0, [], 0, 0, more=False)
log = structlog.get_logger(__name__)


class Version(NamedTuple):
    """What the records show: repair epoch, position, and the name of the last event there."""

    epoch: bytes
    position: int
    name: bytes


class _Seen(NamedTuple):
    """When a search found something: the version, the row cache, and its changes until then."""

    version: Version | None
    rows: RowCache
    changes: int


class Mirror:
    """The records of one generation, for one event loop. ``scans`` are the turns of searches."""

    def __init__(
        self, batcher: RequestBatcher, generation: int, scans: Turns, max_bytes: int
    ) -> None:
        self.generation = generation
        self.loads = 0
        """How often the records were read as a whole."""
        self._batcher = batcher
        self._scans = scans
        self._max_bytes = max_bytes
        keys = Keys(generation)
        self._keys = (keys.state, keys.rows, keys.changes)
        self._columns: Columns | None = None
        self._version: Version | None = None
        self._still = asyncio.Lock()
        """Held by a search: the records do not change meanwhile."""
        self._calls = SharedCalls(self._follow)
        self._loading: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._too_large_until = 0.0
        self._rows = RowCache()
        self._pages = PageCache()

    @property
    def movies(self) -> int:
        """The number of movies."""
        return self._columns.movies if self._columns else 0

    @property
    def memory_bytes(self) -> int:
        """About the size of the records and what is cached."""
        records = self._columns.memory_bytes if self._columns else 0
        return records + self._rows.memory_bytes + self._pages.memory_bytes

    async def close(self) -> None:
        """Stop following."""
        tasks = [task for task in (self._loading, self._preparing) if task is not None]
        for task in tasks:
            task.cancel()
        await self._calls.close()
        if tasks:
            await asyncio.wait(tasks)

    async def follow(self, ids: Sequence[str] = ()) -> int:
        """Bring the records up to date; return the position that they show.

        With ``ids`` the rows of these movies are in the cache then. Raises GoneError, and
        ReadModelUnavailableError while the records are being read.
        """
        while True:
            await self._calls.join(ids)
            if self._version is not None:
                return self._version.position
            await self._loaded()

    async def page(
        self,
        query: MovieQuery,
        *,
        known: int | None = None,
        min_position: int = 0,
        account: Hashable = None,
    ) -> Page | int:
        """Return a page, or the position if it is the ``known`` one.

        Raises GoneError, ReadModelUnavailableError, BusyError, ThrottledError, and NotFoundError
        for a page out of range.
        """
        if known is not None and await self.follow() == known >= min_position:
            return known
        # Records are new enough once a call that began after this request has been answered.
        is_current = known is not None
        for _ in range(_TRIES):
            if self._version is None or self._version.position < min_position:
                await self.follow()
                is_current = True
            was_current = is_current
            found, seen = await self._find(query, account)
            missing = self._rows.missing(found.ids) if isinstance(found, Found) else []
            if missing or not is_current:
                await self.follow(missing)
                is_current = True
            version = seen.version
            if version and self._is_shown(found, seen, was_current=was_current):
                return self._answer(query, version, found, min_position)
        raise BusyError("the list changed too often while it was read")

    def _is_shown(
        self, found: Found | Page | NotFoundError, seen: _Seen, *, was_current: bool
    ) -> bool:
        """Return whether the rows that are kept now are those that a search found.

        The records may have moved on, as they always do while others write.
        """
        if self._version is seen.version:
            return True
        if not was_current or not isinstance(found, Found) or self._rows is not seen.rows:
            return False
        return self._rows.unchanged_since(seen.changes, found.ids)

    def _answer(
        self,
        query: MovieQuery,
        version: Version,
        found: Found | Page | NotFoundError,
        min_position: int,
    ) -> Page:
        if version.position < min_position:
            raise BehindError
        if isinstance(found, NotFoundError):
            raise found
        if isinstance(found, Page):
            return found
        if self._rows.missing(found.ids):
            raise GoneError("rows are missing")
        rows, count = self._rows.of(found.ids), found.count
        page = Page(count, rows, found.page, found.last_page, version.position, found.more)
        if version is self._version:
            self._pages.add(query, version, page)
        return page

    async def _find(
        self, query: MovieQuery, account: Hashable
    ) -> tuple[Found | Page | NotFoundError, _Seen]:
        """Return what is found, or the page if it is kept, and when that was."""
        if (page := self._pages.get(query, self._version)) is not None:
            return page, self._seen()
        async with self._scans.of(account), self._still:
            if self._columns is None:  # they are read again
                return _NOTHING, self._seen()
            seen = self._seen()
            try:
                return await self._columns.find(query), seen
            except NotFoundError as error:
                return error, seen

    def _seen(self) -> _Seen:
        return _Seen(self._version, self._rows, self._rows.changes)

    async def _follow(self, ids: list[str]) -> None:
        is_done = False
        while not is_done:  # again, if the records came in between
            known = self._version
            answer = await ask(self._batcher, _FOLLOW, self._keys, [*(known or ("", "", "")), *ids])
            async with self._still:
                if is_done := known is self._version:
                    await self._apply(answer, ids)

    async def _apply(self, answer: list[Any], ids: list[str]) -> None:
        kind, position, epoch, name, changes, rows = answer
        version = Version(epoch, position, name)
        if self._columns is None or kind == b"unknown":
            self._columns = self._version = None
            self._rows, self._pages = RowCache(), PageCache()
            self._load(version)
            return
        if version != self._version:
            pace, self._version = Pace(), None  # nothing is answered from half of the changes
            for change in changes:
                for record in unpack(change):
                    self._columns.apply(record)
                    self._rows.forget(record)
                    await pace.step()
            self._version = version
        self._rows.add(zip(ids, rows, strict=True))

    def _load(self, version: Version) -> None:
        """Begin to read all records, unless they are being read.

        They are those of ``version`` or of a later one: following from there on brings them to the
        same state. Raises ReadModelUnavailableError if they did not fit lately.
        """
        if self._too_large_until > asyncio.get_running_loop().time():
            raise TooLargeError
        if self._loading is None:
            self._loading = asyncio.create_task(self._read_all(version))
            self._loading.add_done_callback(self._loading_ended)

    def _loading_ended(self, task: "asyncio.Task[None]") -> None:
        self._loading = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("records were not read", error=f"{type(error).__name__}: {error}")

    async def _loaded(self) -> None:
        if (loading := self._loading) is None:
            return
        try:
            async with asyncio.timeout(LOAD_WAIT_S):
                await asyncio.shield(loading)
        except TimeoutError:
            raise LoadingError from None

    async def _read_all(self, version: Version) -> None:
        self.loads += 1
        try:
            columns = await read_all(self._batcher, self._keys[:2], self._max_bytes)
        except TooLargeError:
            self._too_large_until = asyncio.get_running_loop().time() + RETRY_TOO_LARGE_S
            raise
        async with self._still:
            self._columns, self._version = columns, version
        self._preparing = asyncio.create_task(self._prepare(columns))

    async def _prepare(self, columns: Columns) -> None:
        """Do between requests what the first searches would have to wait for."""
        is_ready = False
        while not is_ready and columns is self._columns:
            async with self._still:
                is_ready = await columns.prepare_some()
            await asyncio.sleep(0)
