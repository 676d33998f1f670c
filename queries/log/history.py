"""A movie's history, and its earlier states, read from the log.

Synchronous, like the log: a server calls these on a thread.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from commands.aggregates.movie import Movie, MovieDetails
from commands.errors import NotFoundError, UnreadableEventError
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.log_reader import LogReader
from commands.rfc3339 import is_timestamp
from queries.pages import NumberedPage, page_within

E = TypeVar("E")


class Entry(NamedTuple):
    """One event of a movie; ``changes`` maps a field to its old and new value.

    An unreadable event has only its position, version and type.
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

    def to_dict(self, username_of: Callable[[str], str]) -> dict[str, Any]:
        """Return the public JSON of the entry; its ``id`` is its position."""
        return {
            "id": self.position,
            "version": self.version,
            "position": self.position,
            "type": self.type,
            "at": self.at,
            "actor": actor(username_of, self.by),
            "changes": {
                name: {"from": old, "to": new} for name, (old, new) in self.changes.items()
            },
            "request_id": self.request_id,
            "reason": self.reason,
        }


def actor(username_of: Callable[[str], str], account: str | None) -> dict[str, str | None]:
    """Return the public JSON of the account that acted; its username is None if unknown."""
    return {"id": account, "username": username(username_of, account)}


def username(username_of: Callable[[str], str], account: str | None) -> str | None:
    """Return the username of an account id, None if there is no such account."""
    if account is None:
        return None
    try:
        return username_of(account)
    except (NotFoundError, UnreadableEventError, ValueError):
        return None


def entries(events: Iterable[RecordedEvent]) -> Iterator[Entry]:
    """Yield an entry for each event of one movie; the events must begin with its creation.

    On creation the old values are None. A deletion changes nothing; a restoration is compared with
    the state before the deletion.
    """
    state: dict[str, Any] = dict.fromkeys(MovieDetails._fields)
    for event in events:
        data = event.data
        new = {name: data[name] for name in MovieDetails._fields if data.get(name) is not None}
        changes = {name: (state[name], new[name]) for name in new if state[name] != new[name]}
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


def history(
    store: LogReader, movie_id: UUID, page: int | None, page_size: int
) -> NumberedPage[Entry]:
    """Return a page of a movie's history, also of a deleted one; None is the last page.

    Raises NotFoundError for an unknown movie and a page out of range.
    """
    count = store.last_version(Movie, movie_id)
    if count == 0:
        raise NotFoundError
    number, last_page = page_within(count, page, page_size)
    # The changes of a page's first event need the state before it.
    events = store.read_stream(movie_id, limit=number * page_size)
    return NumberedPage(count, list(entries(events))[(number - 1) * page_size :], number, last_page)


def movie_at_version(store: LogReader, movie_id: UUID, version: int) -> Movie:
    """Return a movie at a version. Raises NotFoundError where it did not exist then."""
    if not 1 <= version <= store.last_version(Movie, movie_id):
        raise NotFoundError
    movie = store.movie_at(movie_id, version)
    movie.ensure_exists()
    return movie


def movie_at_position(store: LogReader, movie_id: UUID, position: int) -> Movie:
    """Return a movie at a position. Raises NotFoundError where it did not exist then."""
    versions = (
        event.version for event in store.read_stream(movie_id) if event.position <= position
    )
    return movie_at_version(store, movie_id, max(versions, default=0))
