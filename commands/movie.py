"""The Movie aggregate.

1. A movie belongs to the account that created it; no other account changes, deletes or restores it.
2. A change names only what changes; one that changes nothing leaves no event.
3. A deleted movie is gone for everyone but its history, and its creator can bring it back.
4. Decisions are pure: who, when and for which request come in with the stamp.
"""

from dataclasses import field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from eventsourcing.domain import Aggregate

from commands.errors import NotCreatorError, NotFoundError, VersionConflictError

Versions = tuple[int, ...] | Literal["any"] | None
"""Versions of a movie that a client names: those listed, whichever it has, or none named."""


class EventMetadata(NamedTuple):
    """Who acts, for which request, when (UTC), and why, where the caller says so."""

    by: str
    request_id: str
    timestamp: datetime
    reason: str | None = None


class MovieDetails(NamedTuple):
    """The fields of a movie. History, rows, export and import take their names and order from here.

    A later field goes to the end and has a default, which stands for "not given": movies that are
    older have it. None means "unchanged" in ``Movie.Updated``, so it is no value of a field.
    """

    title: str
    genre: str
    year: int


def _named(versions: tuple[int, ...] | Literal["any"]) -> str:
    return "any" if versions == "any" else " or ".join(map(str, versions)) or "none"


class Movie(Aggregate):
    """One movie: ``MovieDetails``, its creator, and whether it is deleted."""

    TOPIC = "Movie"

    # Stored for ever: names and fields of these events stand in every log. Change one only by
    # a new class_version with an upcast.
    class Event(Aggregate.Event):
        class_version = 2
        by: str
        request_id: str
        reason: str | None = field(default=None, kw_only=True)

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """Say that nobody gave a reason: there was no way to."""
            state["reason"] = None

    class Created(Event, Aggregate.Created):
        TOPIC = "MovieCreated"
        title: str
        genre: str
        year: int

    class Updated(Event):
        TOPIC = "MovieUpdated"
        title: str | None = None
        genre: str | None = None
        year: int | None = None

        def apply(self, aggregate: "Movie") -> None:
            given = ((name, getattr(self, name)) for name in MovieDetails._fields)
            changes = {name: value for name, value in given if value is not None}
            aggregate.details = aggregate.details._replace(**changes)

    class Deleted(Event):
        TOPIC = "MovieDeleted"

        def apply(self, aggregate: "Movie") -> None:
            aggregate.deleted = True

    class Restored(Event):
        TOPIC = "MovieRestored"
        title: str
        genre: str
        year: int

        def apply(self, aggregate: "Movie") -> None:
            said = {name: getattr(self, name) for name in MovieDetails._fields}
            aggregate.details = MovieDetails(**said)
            aggregate.deleted = False

    def __init__(self, title: str, genre: str, year: int, by: str) -> None:
        self.details = MovieDetails(title=title, genre=genre, year=year)
        self.creator = by
        self.deleted = False

    @classmethod
    def create(cls, movie_id: UUID, details: MovieDetails, metadata: EventMetadata) -> "Movie":
        """Return a new movie that belongs to ``metadata.by``."""
        return cls._create(cls.Created, id=movie_id, **details._asdict(), **metadata._asdict())

    def ensure_exists(self) -> None:
        """Raise NotFoundError for a deleted movie."""
        if self.deleted:
            raise NotFoundError

    def check_creator(self, account: str) -> None:
        """Raise NotCreatorError unless ``account`` created this movie."""
        if account != self.creator:
            raise NotCreatorError

    def check_version(self, expected: Versions, excluded: Versions = None) -> None:
        """Raise VersionConflictError unless the movie is at an ``expected`` version.

        And where it is at an ``excluded`` one. A deleted movie is not at "any".
        """
        if expected is not None and not self._is_at(expected):
            raise VersionConflictError(_named(expected), self.version)
        if excluded is not None and self._is_at(excluded):
            raise VersionConflictError(f"other than {_named(excluded)}", self.version)

    def _is_at(self, versions: tuple[int, ...] | Literal["any"]) -> bool:
        return not self.deleted if versions == "any" else self.version in versions

    def update(self, changes: dict[str, str | int], metadata: EventMetadata) -> None:
        """Change what differs."""
        now = self.details._asdict()
        differing = {name: value for name, value in changes.items() if now[name] != value}
        if differing:
            self.trigger_event(self.Updated, **differing, **metadata._asdict())

    def revert(self, details: MovieDetails, metadata: EventMetadata) -> None:
        """Say again what the movie said once; bring it back if it is deleted."""
        if self.deleted:
            self.trigger_event(self.Restored, **details._asdict(), **metadata._asdict())
        else:
            self.update(details._asdict(), metadata)

    def delete(self, metadata: EventMetadata) -> None:
        """Delete the movie."""
        if not self.deleted:
            self.trigger_event(self.Deleted, **metadata._asdict())
