"""Every key of the read model.

Keys of one generation share the hash tag ``{movies:g}``, so they lie in one slot of a cluster and
one script may touch them all. The others stand alone and are never touched together.
"""

from dataclasses import dataclass
from functools import cached_property

LIVE = "movies:live"
"""The generation that readers are shown."""
BUILDING = "movies:building"
"""The generation that is being built because none is live."""
GENERATIONS = "movies:generations"
"""Every generation that may have keys."""
DROPPED = "movies:dropped"
"""Every generation of which something may be left to remove."""
LEASE = "movies:lease"
"""Who is the active projection."""
NEWEST_FORMAT = "movies:newest-format"
"""The newest row format among the projections that run."""
REBUILDING = "movies:rebuilding"
"""Who rebuilds beside the live generation."""
POINT_IN_TIME = "movies:past"
"""Sorted set: positions whose lists are kept (or being built), by the time of their last use."""
POINT_IN_TIME_LEASE = "movies:past:lease"
"""Who builds a list as it was."""
APPENDED = "movies:appended"
"""Channel: a writer appended up to this position."""
POSITION = "movies:position"
"""Channel: the live generation shows this position, as ``generation:position``."""


@dataclass(frozen=True)
class Keys:
    """The keys of one generation."""

    generation: int

    def _key(self, name: str) -> str:
        return f"{{movies:{self.generation}}}:{name}"

    @cached_property
    def head(self) -> str:
        """Hash of what else is known of the generation.

        ``position``, the ``last`` event there, its time ``at``, the number of ``events`` applied,
        the ``state``, the ``format`` of the rows, the identity of the ``log``; how many ``rows``,
        ``gone``, ``users`` and ``parked`` there are, and how many of the parked are ``dropped``;
        ``mends`` counts changes from aside, and until ``hold`` (milliseconds since the epoch) the
        projection waits.
        """
        return self._key("head")

    @cached_property
    def rows(self) -> str:
        """Hash: movie id to line (see ``listing``)."""
        return self._key("rows")

    @cached_property
    def gone(self) -> str:
        """Hash: id of a deleted movie to the JSON of its last state."""
        return self._key("gone")

    @cached_property
    def created(self) -> str:
        """Sorted set: ids by microseconds since the epoch."""
        return self._key("created")

    @cached_property
    def years(self) -> str:
        """Sorted set: ids by year."""
        return self._key("years")

    @cached_property
    def titles(self) -> str:
        """Sorted set, all scores 0: folded title, NUL, id."""
        return self._key("titles")

    @cached_property
    def users(self) -> str:
        """Hash: account id to username."""
        return self._key("users")

    @cached_property
    def parked(self) -> str:
        """Hash: id whose events are skipped to JSON of ``position``, ``type``, ``error``.

        It says ``dropped`` where an operator gave up on the movie.
        """
        return self._key("parked")

    @cached_property
    def found(self) -> str:
        """Prefix of the kept results of filters; each expires by itself."""
        return self._key("found:")

    @cached_property
    def kept(self) -> str:
        """List: names of the kept results, newest first."""
        return self._key("kept")

    @property
    def listed(self) -> tuple[str, ...]:
        """What lists are read from, in the order scripts take it."""
        return (self.head, self.rows, self.created, self.years, self.titles)

    @property
    def lasting(self) -> tuple[str, ...]:
        """All keys that stay until the generation is dropped, in the order scripts take them."""
        return (*self.listed, self.gone, self.users, self.parked)
