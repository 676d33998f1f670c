"""The number of events of movies by day and type, from the live generation."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from commands.aggregates.movie import Movie
from commands.errors import ReadModelUnavailableError
from projections.generation.state import CONSTANTS
from projections.lua import load_script, number_field
from queries.read_model import ReadModel

NAMES = {
    Movie.Created.TOPIC: "created",
    Movie.Updated.TOPIC: "updated",
    Movie.Deleted.TOPIC: "deleted",
    Movie.Restored.TOPIC: "restored",
}
"""The name of the count of each type."""
_DIGEST_BYTES = 12
_COUNT_DAYS = load_script("queries.lua.count_days", CONSTANTS, shareable=True)


class Summary(NamedTuple):
    """The JSON of the summary at a position; ``digest`` changes with it."""

    position: int
    json: bytes
    digest: str


class EventSummary:
    """Reads the summary; it is rendered anew only where it may have changed."""

    def __init__(self, live: ReadModel) -> None:
        self._live = live
        self._version = b""
        self._last = Summary(0, b"", "")

    async def by_day(self, min_position: int = 0) -> Summary:
        """Return ``{"results": [{day, created, updated, deleted, restored}]}``, oldest day first.

        Days are in UTC; those without events are left out. Raises ReadModelUnavailableError, also
        where the position is less than ``min_position``.
        """
        kind, position, *changed = await self._live.ask(
            _COUNT_DAYS,
            lambda keys: (keys.state, keys.rows, keys.days),
            [self._version],
            min_position=min_position,
        )
        if kind == b"same":
            return self._last._replace(position=position)
        version, counts = changed
        json = orjson.dumps({"results": _days(counts)})
        digest = hashlib.blake2b(json, digest_size=_DIGEST_BYTES).hexdigest()
        self._version, self._last = version, Summary(position, json, digest)
        return self._last


def _days(counts: Sequence[bytes]) -> list[dict[str, str | int]]:
    """Return a row for each day; raises ReadModelUnavailableError for a count that is none."""
    days: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(NAMES.values(), 0))
    for field, value in zip(counts[::2], counts[1::2], strict=True):
        day, _, topic = field.decode(errors="replace").partition(":")
        number = number_field(value)
        if number is None:
            raise ReadModelUnavailableError("a count cannot be read")
        if number and topic in NAMES:
            days[day][NAMES[topic]] = number
    return [{"day": day, **days[day]} for day in sorted(days)]
