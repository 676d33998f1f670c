"""Every key of the read model.

The keys of one generation share the hash tag ``{movies:g}``, so they lie in one slot of a cluster
and one script may use them all. No script uses the others together.
"""

from dataclasses import dataclass
from functools import cached_property

LIVE = "movies:live"
"""The generation that readers are shown."""
READ_MODEL = "movies:read-model"
"""The identity of the read model; a wiped Redis gets another one."""
BUILDING = "movies:building"
"""The generation that the projection builds while none is live."""
GENERATIONS = "movies:generations"
"""Set: every generation that may have keys."""
DROPPED = "movies:dropped"
"""Set: every generation that was dropped but may still have keys."""
LEASE = "movies:lease"
"""The active projection of row format 4; later formats have a lease each (``lease_of``)."""
NEWEST_FORMAT = "movies:newest-format"
"""The newest row format among the running projections."""
REBUILDING = "movies:rebuilding"
"""The running rebuild."""
REBUILD_PROGRESS = "movies:rebuilding:progress"
"""JSON of the ``phase`` of the running rebuild, how many steps are ``done`` of ``total``."""
POINT_IN_TIME = "movies:past"
"""Sorted set: positions of point-in-time lists, finished or not, by the time of their last use."""
POINT_IN_TIME_LEASE = "movies:past:lease"
"""The running build of a point-in-time list."""
APPENDED = "movies:appended"
"""Channel: the position of each append."""
_FIRST_WITH_OWN_LEASE = 5
POSITION = "movies:position"
"""Channel: each position that the live generation shows, as ``generation:position``."""


def lease_of(row_format: int) -> str:
    """Return the key of the active projection of a row format."""
    return f"{LEASE}:{row_format}" if row_format >= _FIRST_WITH_OWN_LEASE else LEASE


@dataclass(frozen=True)
class Keys:
    """The keys of one generation."""

    generation: int

    def named(self, name: str) -> str:
        """Return a key by its stored name."""
        return f"{{movies:{self.generation}}}:{name}"

    @cached_property
    def state(self) -> str:
        """Hash: the state of the generation.

        ``position``, the name of the ``last`` event there, its time ``at``; the number of applied
        ``events``; ``state``, ``format`` of the rows, identity of the ``log``; the number of
        ``rows``, ``gone`` (deleted movies), ``users``, ``parked`` streams and, among these,
        ``dropped`` (discarded) movies, fields of ``days``; ``mends``, the repair epoch; ``hold``,
        the end of a pause in milliseconds since the epoch.
        """
        return self.named("head")

    @cached_property
    def rows(self) -> str:
        """Hash: encoded row (see ``movie_rows``) by movie id."""
        return self.named("rows")

    @cached_property
    def deleted(self) -> str:
        """Hash: JSON of the last state by id of a deleted movie."""
        return self.named("gone")

    @cached_property
    def users(self) -> str:
        """Hash: username by account id."""
        return self.named("users")

    @cached_property
    def parked(self) -> str:
        """Hash: JSON of ``position``, ``type``, ``error`` by id of a parked stream.

        ``dropped`` is true for a movie that an operator discarded.
        """
        return self.named("parked")

    @cached_property
    def days(self) -> str:
        """Hash: number of applied events of movies by ``day:type``.

        A field is ``2026-01-02:MovieCreated``; the day is that of the event's time, in UTC. A list
        at a point in time has no counts.
        """
        return self.named("days")

    @cached_property
    def changes(self) -> str:
        """Stream: what changed of the live generation lately, an entry for each batch.

        The id is ``position-0``; ``a`` is the position that the batch followed, ``c`` the packed
        records of the movies that changed (see ``records``).
        """
        return self.named("changes")

    @cached_property
    def lasting(self) -> tuple[str, ...]:
        """All keys that exist until the generation is dropped, in the order that scripts take."""
        return (self.state, self.rows, self.deleted, self.users, self.parked, self.days)

    @cached_property
    def all(self) -> tuple[str, ...]:
        """All keys that a generation may have."""
        return (*self.lasting, self.changes)
