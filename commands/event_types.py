"""Which events there are, by their stored names, and how old ones are brought up to date.

A stored name means the same event for ever; what its fields are may have changed since.
"""

from typing import Any

from eventsourcing.domain import Aggregate

from commands.claims import Claim
from commands.movie import Movie
from commands.user import User

EVENT_TYPES: dict[str, Any] = {
    vars(kind)["TOPIC"]: kind
    for aggregate in (Movie, User, Claim)
    for kind in vars(aggregate).values()
    if isinstance(kind, type) and issubclass(kind, Aggregate.Event) and "TOPIC" in vars(kind)
}
CURRENT_VERSIONS = {topic: getattr(kind, "class_version", 1) for topic, kind in EVENT_TYPES.items()}

MOVIE_EVENTS = tuple(topic for topic, kind in EVENT_TYPES.items() if issubclass(kind, Movie.Event))
"""The types of a movie's events. Each begins with ``Movie.TOPIC``: by that, a release knows that an
event which it does not know is of a movie."""

DECODE_ERRORS = (ValueError, TypeError, AttributeError, LookupError)
"""What comes of an event that is not what its name says; what the library makes of one is among
them."""


def upcast(topic: str, data: dict[str, Any], stored_as: int) -> None:
    """Bring the fields of an event that was stored in form ``stored_as`` to the form of today.

    Raises ValueError for a form of a later release.
    """
    kind, current = EVENT_TYPES[topic], CURRENT_VERSIONS[topic]
    if stored_as > current:
        raise ValueError(f"its form {stored_as} is of a later release; this one knows {current}")
    for version in range(stored_as, current):
        getattr(kind, f"upcast_v{version}_v{version + 1}")(data)
