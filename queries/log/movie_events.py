"""The feed: the events of all movies in log order, filtered.

Synchronous, like the log: a server calls these on a thread.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.errors import UnreadableEventError
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.log_reader import LogReader
from commands.rfc3339 import is_timestamp
from commands.text import fold_name
from queries.log.event_filter import EVERY_EVENT, EventFacts, EventFilter
from queries.log.history import Entry, entries, username
from queries.log.timeline import Timeline

MAX_LIMIT, DEFAULT_LIMIT = 1_000, 100
MOST_READ = 10_000
"""The most events of the log that one call reads."""
# Claims and accounts lie between the events of movies, so a chunk may have none.
_CHUNK = 1_000
_TIMEOUT_S = 1.0


class Changes(NamedTuple):
    """Entries in log order, complete up to ``reached``; whether the log goes on after that."""

    entries: list[Entry]
    reached: int
    more: bool


class MovieEvents:
    """Reads the feed. Safe to share between threads."""

    def __init__(
        self,
        store: LogReader,
        username_of: Callable[[str], str],
        timeline: Timeline | None = None,
        *,
        chunk: int = _CHUNK,
        most_read: int = MOST_READ,
    ) -> None:
        self._store = store
        self._chunk = chunk
        self._most_read = most_read
        self.username_of = username_of
        """The username of an account id."""
        self._timeline = timeline or Timeline(store)

    def after(self, position: int, limit: int, wanted: EventFilter = EVERY_EVENT) -> Changes:
        """Return up to ``limit`` wanted events after a position.

        Reads at most ``most_read`` events, for about a second: then there may be fewer, or none,
        although the log goes on. Of one movie it reads the whole history at once.
        """
        if wanted.movie_id or wanted.actor:
            # Before the rest is read: what is appended meanwhile lies behind it.
            head = max(position, self._store.head())
            if wanted.actor and not self._is_account(wanted.actor):
                return Changes([], head, more=False)
            if wanted.movie_id:
                return self._of_movie(position, limit, wanted, head)
        return self._scan(position, limit, wanted)

    def _scan(self, position: int, limit: int, wanted: EventFilter) -> Changes:
        deadline = time.monotonic() + _TIMEOUT_S
        events: list[RecordedEvent] = []
        reached, read, more = position, 0, True
        while (
            more and read < self._most_read and len(events) <= limit and time.monotonic() < deadline
        ):
            if wanted.has_times:
                reached = self._timeline.skip(reached, wanted.since, wanted.before)
            chunk = self._store.read(reached, self._chunk)
            events += [event for event in chunk if self._is_wanted(event, wanted)]
            if chunk:
                reached = chunk[-1].position
            read += len(chunk)
            more = len(chunk) == self._chunk
        if len(events) > limit:
            events, more = events[:limit], True
            reached = events[-1].position
        return Changes(_entries_of(self._store, events), reached, more)

    def _of_movie(self, position: int, limit: int, wanted: EventFilter, head: int) -> Changes:
        stream = self._store.read_stream(UUID(wanted.movie_id))
        found = [
            event.position
            for event in stream
            if event.position > position and self._is_wanted(event, wanted)
        ]
        kept = found[:limit]
        more = len(found) > limit
        reached = kept[-1] if more else max(head, *found, 0)
        chosen = {*kept}
        listed = [entry for entry in entries(stream) if entry.position in chosen] if kept else []
        return Changes(listed, reached, more)

    def _is_wanted(self, event: RecordedEvent, wanted: EventFilter) -> bool:
        if event.type not in MOVIE_EVENTS:
            return False
        if wanted is EVERY_EVENT:
            return True
        at, by = event.data.get("timestamp"), event.data.get("by")
        actor = username(self.username_of, by) if wanted.actor else None
        facts = EventFacts(
            event.type,
            event.stream_id,
            str(at) if wanted.has_times and is_timestamp(at) else "",
            fold_name(actor or ""),
        )
        return wanted.passes(facts)

    def _is_account(self, name: str) -> bool:
        with suppress(UnreadableEventError):
            return self._store.account_id_of(name) is not None
        return True


def _entries_of(store: LogReader, events: list[RecordedEvent]) -> list[Entry]:
    """Return the entries of ``events``, compared with the state before each of them."""
    last = {event.stream_id: event.version for event in events}
    wanted = {event.position for event in events}
    firsts = {event.stream_id: [event] for event in events if event.version == 1}
    by_position: dict[int, Entry] = {}
    for stream_id, version in last.items():
        stream = (
            firsts[stream_id] if version == 1 else store.read_stream(UUID(stream_id), limit=version)
        )
        by_position |= {one.position: one for one in entries(stream) if one.position in wanted}
    return [by_position[event.position] for event in events]
