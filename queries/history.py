"""What happened to a movie, from the log itself: the log does not lag."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from commands.store import Recorded

FIELDS = ("title", "genre", "year")


class Entry(NamedTuple):
    """One change: ``changes`` maps a field to what it was and what it became."""

    version: int
    position: int
    type: str
    at: str
    by: str
    changes: dict[str, tuple[Any, Any]]
    request_id: str


def entries(events: Iterable[Recorded]) -> Iterator[Entry]:
    """Yield an entry for each event of one movie, which must come from its creation on.

    Changes go from None on creation, are empty on deletion, and on restoration go from the state
    before the deletion.
    """
    state: dict[str, Any] = dict.fromkeys(FIELDS)
    for event in events:
        new = {name: event.data[name] for name in FIELDS if event.data.get(name) is not None}
        changes = {
            name: (state[name], value) for name, value in new.items() if state[name] != value
        }
        state |= new
        yield Entry(
            event.version,
            event.position,
            event.type,
            event.data["timestamp"],
            event.data["by"],
            changes,
            event.data["request_id"],
        )
