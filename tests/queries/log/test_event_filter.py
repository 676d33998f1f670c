"""Filters of events: what they accept, and which events pass."""

import pytest

from commands.errors import InvalidError
from queries.log.event_filter import EVERY_EVENT, EventFacts, EventFilter, parse_event_filter
from tests.controls import MOVIE

EVENT = EventFacts("MovieUpdated", str(MOVIE), "2026-01-02T12:00:00.000250Z", "zoë")


@pytest.mark.parametrize("given", [{}, {"type": "", "movie": "", "at__lt": ""}])
def test_blank_filters_bound_nothing(given):
    assert parse_event_filter(given) == EVERY_EVENT
    assert EVERY_EVENT.passes(EVENT)


def test_values_are_brought_into_the_form_that_is_compared():
    """Usernames are compared without regard to case, times in UTC."""
    given = {
        "type": "MovieCreated",
        "movie": str(MOVIE).upper(),
        "actor__username": "ZOË",
        "at__gte": "2026-01-02T14:00:00.5+02:00",
        "at__lt": "2026-01-02T12:00:01Z",
    }
    assert parse_event_filter(given) == EventFilter(
        "MovieCreated",
        str(MOVIE),
        "zoë",
        "2026-01-02T12:00:00.500000Z",
        "2026-01-02T12:00:01.000000Z",
    )


def test_every_error_is_reported_at_once():
    given = {
        "type": "moviecreated",
        "movie": str(MOVIE).replace("-", ""),
        "actor__username": "a\0b",
        "at__gte": "2026-01-02T12:00:00",
        "at__lt": "yesterday",
    }
    with pytest.raises(InvalidError) as refused:
        parse_event_filter(given)
    assert refused.value.errors == {
        "type": [
            "Select a valid choice: MovieCreated, MovieUpdated, MovieDeleted or MovieRestored."
        ],
        "movie": ["Enter a valid UUID."],
        "actor__username": ["Null characters are not allowed."],
        "at__gte": ["Enter a valid date/time."],
        "at__lt": ["Enter a valid date/time."],
    }


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (EventFilter(type="MovieUpdated"), True),
        (EventFilter(type="MovieDeleted"), False),
        (EventFilter(movie_id=str(MOVIE)), True),
        (EventFilter(movie_id=str(MOVIE)[:-1] + "b"), False),
        (EventFilter(actor="zoë"), True),
        (EventFilter(actor="zo"), False),
        (EventFilter(since=EVENT.at), True),
        (EventFilter(since="2026-01-02T12:00:00.000251Z"), False),
        (EventFilter(before=EVENT.at), False),
        (EventFilter(before="2026-01-02T12:00:00.000251Z"), True),
        (EventFilter(type="MovieUpdated", actor="ann"), False),
    ],
)
def test_all_filters_must_match(wanted, passes):
    assert wanted.passes(EVENT) is passes


def test_an_event_without_time_or_account_passes_no_bound_on_them():
    unreadable = EVENT._replace(at="", actor="")
    assert EventFilter(type="MovieUpdated").passes(unreadable)
    for wanted in (EventFilter(since="2026"), EventFilter(before="9"), EventFilter(actor="zoë")):
        assert not wanted.passes(unreadable)
