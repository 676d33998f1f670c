"""The Movie aggregate.

1. A movie belongs to the account that created it; no other account changes, deletes or restores it.
2. A change has only the fields that change; one that changes nothing leaves no event.
3. A deleted movie has only its history left, and its creator can restore it.
4. Undoing a version takes back the fields that it changed, and only if no later one changed them.
5. Decisions are pure: account, time and request are arguments (``EventMetadata``).
"""

from dataclasses import field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from eventsourcing.domain import Aggregate

from commands.errors import (
    NotCreatorError,
    NotFoundError,
    UndoConflictError,
    VersionConflictError,
)

Versions = tuple[int, ...] | Literal["any"] | None
"""Versions of a movie in a precondition: those listed, "any" one, or no condition."""


class EventMetadata(NamedTuple):
    """The acting account, the request, the time (UTC) and, optionally, the reason."""

    by: str
    request_id: str
    timestamp: datetime
    reason: str | None = None


class MovieDetails(NamedTuple):
    """A movie's editable fields, in the order of history, rows, export and import.

    A new field goes to the end and has a default, which older movies get. None is not a value of a
    field: it means "unchanged" in ``Movie.Updated``.
    """

    title: str
    genre: str
    year: int


def _describe(versions: tuple[int, ...] | Literal["any"]) -> str:
    return "any" if versions == "any" else " or ".join(map(str, versions)) or "none"


class Movie(Aggregate):
    """A movie: its details, its creator, and whether it is deleted."""

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
            """v1 events have no reason."""
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
            fields = ((name, getattr(self, name)) for name in MovieDetails._fields)
            changes = {name: value for name, value in fields if value is not None}
            aggregate.set_details(changes, self.originator_version)

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
            fields = {name: getattr(self, name) for name in MovieDetails._fields}
            aggregate.set_details(fields, self.originator_version)
            aggregate.deleted = False

    def __init__(self, title: str, genre: str, year: int, by: str) -> None:
        self.details = MovieDetails(title=title, genre=genre, year=year)
        self.creator = by
        self.deleted = False
        self.changed_at = dict.fromkeys(MovieDetails._fields, 1)
        """The version that changed each field last."""

    @classmethod
    def create(cls, movie_id: UUID, details: MovieDetails, metadata: EventMetadata) -> "Movie":
        """Return a new movie that belongs to ``metadata.by``."""
        return cls._create(cls.Created, id=movie_id, **details._asdict(), **metadata._asdict())

    def set_details(self, fields: dict[str, str | int], version: int) -> None:
        """Set fields by the event of a version."""
        differing = self._differing(fields)
        self.details = MovieDetails(**self.details._asdict() | differing)
        self.changed_at = self.changed_at | dict.fromkeys(differing, version)

    def _differing(self, fields: dict[str, str | int]) -> dict[str, str | int]:
        now = self.details._asdict()
        return {name: value for name, value in fields.items() if now[name] != value}

    def ensure_exists(self) -> None:
        """Raise NotFoundError if the movie is deleted."""
        if self.deleted:
            raise NotFoundError

    def check_creator(self, account: str) -> None:
        """Raise NotCreatorError unless ``account`` created this movie."""
        if account != self.creator:
            raise NotCreatorError

    def check_version(self, expected: Versions, excluded: Versions = None) -> None:
        """Raise VersionConflictError unless the version is ``expected`` and not ``excluded``.

        A deleted movie has no version that "any" matches.
        """
        if expected is not None and not self._matches(expected):
            raise VersionConflictError(_describe(expected), self.version)
        if excluded is not None and self._matches(excluded):
            raise VersionConflictError(f"other than {_describe(excluded)}", self.version)

    def _matches(self, versions: tuple[int, ...] | Literal["any"]) -> bool:
        return not self.deleted if versions == "any" else self.version in versions

    def update(self, changes: dict[str, str | int], metadata: EventMetadata) -> None:
        """Change the fields that differ."""
        if differing := self._differing(changes):
            self.trigger_event(self.Updated, **differing, **metadata._asdict())

    def revert(self, details: MovieDetails, metadata: EventMetadata) -> None:
        """Restore earlier details, undeleting the movie if necessary."""
        if self.deleted:
            self.trigger_event(self.Restored, **details._asdict(), **metadata._asdict())
        else:
            self.update(details._asdict(), metadata)

    def undo(self, before: "Movie", then: "Movie", metadata: EventMetadata) -> None:
        """Take back what a version changed: ``then`` is the movie at it, ``before`` the one before.

        Raises UndoConflictError if later versions changed these fields to something else, and
        NotFoundError for a deleted movie, unless it is the deletion that is undone.
        """
        if then.deleted:
            if self.version == then.version:
                return self.revert(before.details, metadata)
            return self.ensure_exists()  # it is back already
        self.ensure_exists()
        now = self.details._asdict()
        earlier = self._differing(then.changed_from(before))
        conflicts = {
            name: (version, now[name])
            for name in earlier
            if (version := self.changed_at[name]) > then.version
        }
        if conflicts:
            raise UndoConflictError(conflicts)
        return self.update(earlier, metadata)

    def changed_from(self, before: "Movie") -> dict[str, str | int]:
        """Return the fields of ``before`` that differ in this movie."""
        return self._differing(before.details._asdict())

    def delete(self, metadata: EventMetadata) -> None:
        """Delete the movie."""
        if not self.deleted:
            self.trigger_event(self.Deleted, **metadata._asdict())
