"""Which events there are, by their stored names, and how old ones are brought up to date.

A stored name means the same event for ever; what its fields are may have changed since.
"""

from typing import Any

from eventsourcing.domain import Aggregate

from commands.claims import Claim
from commands.movie import Movie
from commands.user import User

KINDS: dict[str, Any] = {
    vars(kind)["TOPIC"]: kind
    for aggregate in (Movie, User, Claim)
    for kind in vars(aggregate).values()
    if isinstance(kind, type) and issubclass(kind, Aggregate.Event) and "TOPIC" in vars(kind)
}
CURRENT = {topic: getattr(kind, "class_version", 1) for topic, kind in KINDS.items()}


def upcast(topic: str, data: dict[str, Any], stored_as: int) -> None:
    """Bring the fields of an event that was stored in form ``stored_as`` to the form of today."""
    kind = KINDS[topic]
    for version in range(stored_as, CURRENT[topic]):
        getattr(kind, f"upcast_v{version}_v{version + 1}")(data)
