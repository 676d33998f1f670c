"""Filters of the feed and the stream: which events of movies a reader wants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.errors import InvalidError
from commands.rfc3339 import parse_rfc3339, rfc3339
from commands.text import fold_name

EVENT_FILTERS = ("type", "movie", "actor__username", "at__gte", "at__lt")
"""The names of the filters; the times are the last two."""
_TYPES = f"{', '.join(MOVIE_EVENTS[:-1])} or {MOVIE_EVENTS[-1]}"


class EventFacts(NamedTuple):
    """What filters compare of an event; "" is unknown."""

    type: str
    movie_id: str
    at: str
    """RFC 3339 as ``rfc3339`` writes it."""
    actor: str
    """The folded username."""


@dataclass(frozen=True)
class EventFilter:
    """Bounds of a read of the feed, in the form of ``EventFacts``; "" bounds nothing.

    ``since`` is included, ``before`` is not. An event whose time is unknown is in no range of
    times, and one whose account is unknown is of no account.
    """

    type: str = ""
    movie_id: str = ""
    actor: str = ""
    since: str = ""
    before: str = ""

    @property
    def has_times(self) -> bool:
        """Whether there is a range of times."""
        return bool(self.since or self.before)

    def passes(self, event: EventFacts) -> bool:
        """Return whether an event is wanted."""
        if self.has_times and not (event.at and self.since <= event.at):
            return False
        return (
            (not self.type or self.type == event.type)
            and (not self.movie_id or self.movie_id == event.movie_id)
            and (not self.actor or self.actor == event.actor)
            and (not self.before or event.at < self.before)
        )


EVERY_EVENT = EventFilter()


def parse_event_filter(given: Mapping[str, str]) -> EventFilter:
    """Return the filter of trimmed texts by name; blank and missing ones bound nothing.

    Raises InvalidError with every error.
    """
    fields: dict[str, str] = {}
    errors: dict[str, list[str]] = {}
    for name, field, parse in (
        ("type", "type", _type),
        ("movie", "movie_id", _movie_id),
        ("actor__username", "actor", fold_name),
        ("at__gte", "since", _time),
        ("at__lt", "before", _time),
    ):
        try:
            fields[field] = _parsed(given.get(name, ""), parse)
        except ValueError as error:
            errors[name] = [str(error)]
    if errors:
        raise InvalidError(errors)
    return EventFilter(**fields)


def _parsed(text: str, parse: Callable[[str], str]) -> str:
    if "\0" in text:
        raise ValueError("Null characters are not allowed.")
    return parse(text) if text else ""


def _type(text: str) -> str:
    if text not in MOVIE_EVENTS:
        raise ValueError(f"Select a valid choice: {_TYPES}.")
    return text


def _movie_id(text: str) -> str:
    try:
        movie_id = str(UUID(text))
    except ValueError:
        movie_id = ""
    if movie_id != text.lower():
        raise ValueError("Enter a valid UUID.")
    return movie_id


def _time(text: str) -> str:
    try:
        return rfc3339(parse_rfc3339(text))
    except ValueError:
        raise ValueError("Enter a valid date/time.") from None
