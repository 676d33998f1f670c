"""The types of events by their stored names, and how older forms are upcast.

A stored name means the same event for ever; its fields may change with its class version.
"""

from typing import Any

from eventsourcing.domain import Aggregate

from commands.aggregates.claims import Claim
from commands.aggregates.movie import Movie
from commands.aggregates.user import User

EVENT_TYPES: dict[str, Any] = {
    vars(kind)["TOPIC"]: kind
    for aggregate in (Movie, User, Claim)
    for kind in vars(aggregate).values()
    if isinstance(kind, type) and issubclass(kind, Aggregate.Event) and "TOPIC" in vars(kind)
}
CURRENT_VERSIONS = {topic: getattr(kind, "class_version", 1) for topic, kind in EVENT_TYPES.items()}

MOVIE_EVENTS = tuple(topic for topic, kind in EVENT_TYPES.items() if issubclass(kind, Movie.Event))
"""The types of a movie's events. Each begins with ``Movie.TOPIC``: so an older release recognizes
an unknown event of a movie."""

DECODE_ERRORS = (ValueError, TypeError, AttributeError, LookupError)
"""Exceptions that decoding a malformed event can raise, in this code or in the library."""


def upcast(topic: str, data: dict[str, Any], stored_version: int) -> None:
    """Bring the fields of an event up to the current class version.

    Raises ValueError for a version of a later release.
    """
    kind, current = EVENT_TYPES[topic], CURRENT_VERSIONS[topic]
    if stored_version > current:
        raise ValueError(
            f"its form {stored_version} is of a later release; this one knows {current}"
        )
    for version in range(stored_version, current):
        getattr(kind, f"upcast_v{version}_v{version + 1}")(data)
