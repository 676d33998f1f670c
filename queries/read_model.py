"""The read model: the live generation, read by scripts and as a mirror."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any
from uuid import UUID

import structlog
from redis.exceptions import ResponseError

from commands.errors import CinelogError, ReadModelUnavailableError
from projections.keys import LIVE, Keys
from projections.lua import Script, number_field
from queries.mirror.mirrors import Mirrors
from queries.mirror.page_cache import Page
from queries.mirror.record_reader import BehindError, GoneError, LoadingError
from queries.movie_query import MovieQuery
from queries.pipelining import RequestBatcher
from queries.position.read_floor import ReadFloor

_LOAD_TRIES = 5
KEEP_LOADED_S = 1.0
log = structlog.get_logger(__name__)


class ReadModel:
    """Reads the live generation, and finds it again when another takes its place."""

    def __init__(
        self,
        batcher: RequestBatcher,
        mirrors: Mirrors,
        log: Callable[[], str] = lambda: "",
        floor: ReadFloor | None = None,
    ) -> None:
        """``log`` returns the identity of the log that the generation must show, "" for any."""
        self._floor = floor or ReadFloor()
        self.batcher = batcher
        self.mirrors = mirrors
        self._log = log
        self._generation: int | None = None
        self._generation_log = ""

    async def ask(
        self,
        script: Script,
        keys: Callable[[Keys], Sequence[str]],
        args: Sequence[str | bytes | int] = (),
        *,
        min_position: int = 0,
    ) -> list[Any]:
        """Return a script's answer, whose second item is the position it shows.

        Raises ReadModelUnavailableError where no generation is live or its position is less than
        ``min_position``, or than one answered before.
        """
        log = self._log()
        min_position = self._floor.least(log, min_position)
        for known in (self._known(), None):
            generation = known if known is not None else await self._live()
            try:
                answer: list[Any] = await self.batcher.script(script, keys(Keys(generation)), args)
            except ResponseError as error:  # a key holds something else
                raise ReadModelUnavailableError("it cannot be read") from error
            if answer[0] == b"gone":
                reason = "it is being built"
            elif answer[1] < min_position:
                reason = "it has not reached that position yet"
            else:
                self._floor.answered(log, answer[1])
                return answer
        raise ReadModelUnavailableError(reason)

    async def page(
        self,
        query: MovieQuery,
        *,
        known: int | None = None,
        min_position: int = 0,
        account: Hashable = None,
    ) -> Page | int:
        """Return a page as ``Mirror.page`` does, at no earlier position than one before it."""
        log = self._log()
        least = self._floor.least(log, min_position)
        try:
            page = await self._page(self._known(), query, known, least, account)
        except (GoneError, BehindError):
            page = await self._page(None, query, known, least, account)
        self._floor.answered(log, page if isinstance(page, int) else page.position)
        return page

    async def load(self) -> None:
        """Read the records of the live generation ahead, if there is one."""
        for _ in range(_LOAD_TRIES):
            try:
                await self.page(MovieQuery())
            except LoadingError:
                continue
            except CinelogError:
                pass
            return

    async def keep_loaded(self) -> None:
        """Follow the live generation, for ever, also while nobody asks for lists.

        Else the first list after many changes, or after a rebuild, would have to wait for them.
        """
        while True:
            await asyncio.sleep(KEEP_LOADED_S)
            try:
                await self.page(MovieQuery())
            except CinelogError:
                pass  # who asks for a list is told
            except Exception:
                log.exception("the read model was not followed")

    async def _page(
        self,
        generation: int | None,
        query: MovieQuery,
        known: int | None,
        min_position: int,
        account: Hashable,
    ) -> Page | int:
        if generation is None:
            generation = await self._live()
        mirror = self.mirrors.of(generation, self._is_current)
        return await mirror.page(query, known=known, min_position=min_position, account=account)

    def _is_current(self, generation: int) -> bool:
        """Return whether a mirror of a generation may be needed again."""
        return generation < 0 or generation == self._generation

    async def is_parked(self, movie_id: UUID) -> bool:
        """Return whether a movie is parked: none of its later events is shown."""
        known = self._known()
        generation = known if known is not None else await self._live()
        try:
            return bool(await self.batcher.call("HEXISTS", Keys(generation).parked, str(movie_id)))
        except ResponseError as error:  # it is no hash
            raise ReadModelUnavailableError("it cannot be read") from error

    def _known(self) -> int | None:
        return self._generation if self._generation_log == self._log() else None

    async def _live(self) -> int:
        self._generation, log = None, self._log()
        try:
            generation = number_field(await self.batcher.call("GET", LIVE))
        except ResponseError:  # the pointer is no text
            generation = None
        if not generation:
            raise ReadModelUnavailableError("it is being built")
        shown = await self._log_of(generation) if log else ""
        # A generation that an earlier release built has no log.
        if shown and shown != log:
            raise ReadModelUnavailableError("it is being built for another state of the log")
        await self._floor.check(self.batcher, generation)
        self._generation, self._generation_log = generation, log
        return generation

    async def _log_of(self, generation: int) -> str:
        try:
            log: bytes | None = await self.batcher.call("HGET", Keys(generation).state, "log")
        except ResponseError:  # it is no hash
            return ""
        return (log or b"").decode(errors="replace")
