"""Representations of movies and their events."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.aggregates.movie import MovieDetails
from service.web.representations.fields import (
    Actor,
    Id,
    Next,
    Page,
    Position,
    RequestId,
    Time,
    Title,
    Version,
    Year,
)

MovieEventType = Annotated[str, WithJsonSchema({"type": "string", "enum": [*MOVIE_EVENTS]})]


class Movie(TypedDict):
    """A movie, now or at a point in time."""

    id: Id
    title: Title
    genre: Title
    year: Year
    creator: Annotated[str, Field(description="Username of the account that created it.")]
    version: Version
    created_at: Time
    updated_at: Time


class MoviePage(Page):
    """A page of movies."""

    results: list[Movie]


Change = TypedDict("Change", {"from": str | int | None, "to": str | int})
Change.__doc__ = "What a field was, and what it became."


_CHANGES = dict.fromkeys(MovieDetails._fields, Change)
Changes: Any = TypedDict("Changes", _CHANGES, total=False)  # type: ignore[misc]
Changes.__doc__ = "The fields that changed: from null on creation, none on deletion."


class HistoryEntry(TypedDict):
    """One event of a movie. An unreadable event has only its position and type."""

    id: Annotated[int, Field(ge=1, description="The position, which is unique.")]
    version: Version
    position: Position
    type: MovieEventType
    at: Time | None
    actor: Actor
    changes: Changes
    request_id: RequestId | None
    reason: Annotated[str | None, Field(description="The `Change-Reason` of the request.")]


class MovieEvent(HistoryEntry):
    """One event of any movie."""

    movie_id: Id


class HistoryPage(Page):
    """A page of a movie's history, oldest first."""

    results: list[HistoryEntry]


class EventPage(TypedDict):
    """Events in log order."""

    results: list[MovieEvent]
    next: Next


class DaySummary(TypedDict):
    """The number of events of movies on a day, by type."""

    day: Annotated[
        str, WithJsonSchema({"type": "string", "format": "date"}), Field(description="In UTC.")
    ]
    created: int
    updated: int
    deleted: int
    restored: int


class EventSummary(TypedDict):
    """The days with events, oldest first."""

    results: list[DaySummary]
