"""What happened to a movie, from the log itself: the log does not lag.

Synchronous, like the store: a server calls these on a thread.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from commands.errors import NotFoundError, UnreadableEventError
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from commands.event_types import MOVIE_EVENTS
from commands.movie import Movie, MovieDetails
from commands.rfc3339 import is_timestamp

# How much of the log a page of changes looks at for one it is short of: claims lie between.
_CHUNK = 1_000


class Entry(NamedTuple):
    """One change: ``changes`` maps a field to what it was and what it became.

    Of an event that cannot be read there is no more than its place and its type.
    """

    movie_id: str
    version: int
    position: int
    type: str
    at: str | None
    by: str | None
    changes: dict[str, tuple[Any, Any]]
    request_id: str | None
    reason: str | None

    def shown(self, name_of: Callable[[str], str]) -> dict[str, Any]:
        """Return the entry as clients see it; ``name_of`` gives an account's username.

        Its ``id``, which tables and data providers ask for, is its position.
        """
        return {
            "id": self.position,
            "version": self.version,
            "position": self.position,
            "type": self.type,
            "at": self.at,
            "actor": {"id": self.by, "username": _known(name_of, self.by)},
            "changes": {
                name: {"from": was, "to": now} for name, (was, now) in self.changes.items()
            },
            "request_id": self.request_id,
            "reason": self.reason,
        }


def _known(name_of: Callable[[str], str], account: str | None) -> str | None:
    if account is None:
        return None
    try:
        return name_of(account)
    except (NotFoundError, UnreadableEventError, ValueError):
        return None


def entries(events: Iterable[RecordedEvent]) -> Iterator[Entry]:
    """Yield an entry for each event of one movie, which must come from its creation on.

    Changes go from None on creation, are empty on deletion, and on restoration go from the state
    before the deletion.
    """
    state: dict[str, Any] = dict.fromkeys(MovieDetails._fields)
    for event in events:
        data = event.data
        given = ((name, data.get(name)) for name in MovieDetails._fields)
        new = {name: value for name, value in given if value is not None}
        changes = {
            name: (state[name], value) for name, value in new.items() if state[name] != value
        }
        state |= new
        yield Entry(
            event.stream_id,
            event.version,
            event.position,
            event.type,
            stamp if is_timestamp(stamp := data.get("timestamp")) else None,
            data.get("by"),
            changes,
            data.get("request_id"),
            data.get("reason"),
        )


@dataclass(frozen=True)
class HistoryPage:
    """A page of a movie's history, oldest first; ``count`` entries in all."""

    count: int
    entries: list[Entry]
    page: int
    last_page: int


def history(store: Store, movie_id: UUID, page: int | None, page_size: int) -> HistoryPage:
    """Return a page of what happened to a movie, deleted ones included; None is the last page.

    Raises NotFoundError where there never was such a movie, or no such page.
    """
    count = store.last_version(Movie, movie_id)
    if count == 0:
        raise NotFoundError
    last_page = -(-count // page_size)
    number = last_page if page is None else page
    if number > last_page:
        raise NotFoundError("Invalid page.")
    # The first event of a page needs the state that all before it led to.
    events = store.read_stream(movie_id, limit=number * page_size)
    shown = list(entries(events))[(number - 1) * page_size :]
    return HistoryPage(count, shown, number, last_page)


def movie_at_version(store: Store, movie_id: UUID, version: int) -> Movie:
    """Return a movie as it was at a version. Raises NotFoundError where it was not there then."""
    if not 1 <= version <= store.last_version(Movie, movie_id):
        raise NotFoundError
    movie = store.movie_at(movie_id, version)
    movie.ensure_exists()
    return movie


def movie_at_position(store: Store, movie_id: UUID, position: int) -> Movie:
    """Return a movie as it was at a position. Raises NotFoundError where it was not there then."""
    versions = (
        event.version for event in store.read_stream(movie_id) if event.position <= position
    )
    return movie_at_version(store, movie_id, max(versions, default=0))


class Changes(NamedTuple):
    """Entries of all movies in log order, up to the position ``reached``; whether more follow."""

    entries: list[Entry]
    reached: int
    more: bool


def changes_after(store: Store, after: int, limit: int) -> Changes:
    """Return up to ``limit`` changes of any movie after a position, in log order."""
    events: list[RecordedEvent] = []
    reached = after
    while len(events) <= limit:
        read = store.read(reached, _CHUNK)
        events += [event for event in read if event.type in MOVIE_EVENTS]
        if read:
            reached = read[-1].position
        if len(read) < _CHUNK:
            break
    more = len(events) > limit
    events = events[:limit]
    if more:
        reached = events[-1].position
    return Changes(_in_their_streams(store, events), reached, more)


def _in_their_streams(store: Store, events: list[RecordedEvent]) -> list[Entry]:
    """Return the entries of ``events``, whose changes begin at what came before them."""
    last = {event.stream_id: event.version for event in events}
    wanted = {event.position for event in events}
    firsts = {event.stream_id: [event] for event in events if event.version == 1}
    found: dict[int, Entry] = {}
    for stream_id, version in last.items():
        stream = (
            firsts[stream_id] if version == 1 else store.read_stream(UUID(stream_id), limit=version)
        )
        found |= {one.position: one for one in entries(stream) if one.position in wanted}
    return [found[event.position] for event in events]
