"""The read model: scripts and commands that read the live generation."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from redis.exceptions import ResponseError

from commands.errors import ReadModelUnavailableError
from projections.keys import LIVE, Keys
from projections.lua import Script, number_field
from queries.pipelining import RequestBatcher
from queries.turns import Turns

# Scans that one process has Redis do in one round trip: its other reads wait for them.
_SCANS, _SCANS_WAITING = 2, 256


class ReadModel:
    """Reads the live generation, and finds it again when another takes its place."""

    def __init__(self, batcher: RequestBatcher, log: Callable[[], str] = lambda: "") -> None:
        """``log`` returns the identity of the log that the generation must show, "" for any."""
        self.batcher = batcher
        self.scans = Turns("filters", running=_SCANS, waiting=_SCANS_WAITING)
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
        ``min_position``.
        """
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
                return answer
        raise ReadModelUnavailableError(reason)

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
        self._generation, self._generation_log = generation, log
        return generation

    async def _log_of(self, generation: int) -> str:
        try:
            log: bytes | None = await self.batcher.call("HGET", Keys(generation).state, "log")
        except ResponseError:  # it is no hash
            return ""
        return (log or b"").decode(errors="replace")
