"""The feed: pages of it together have exactly the events that pass its filters."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.aggregates.movie import Movie, MovieDetails
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from queries.log.event_filter import EventFilter
from queries.log.history import entries
from queries.log.movie_events import MovieEvents
from queries.log.timeline import Timeline
from tests.controls import ANN, BOB, MOVIE, NOON, SOME_DRAWS, create, metadata, new_id, register
from tests.library import library, write

NAMES = {str(ANN): "ann", str(BOB): "bob"}


def at(minutes):
    return rfc3339(NOON + timedelta(minutes=minutes))


def opened(path):
    return Store.open(f"sqlite:///{path}")


def write_movies(store, steps):
    """Append an event for each step: what happens to which of three movies, by whom and when."""
    movies = {}
    for what, number, by, minutes in steps:
        done = metadata(by, minutes=minutes)
        movie = movies.get(number)
        if what == "other":
            write(store, register(username=f"user-{store.head()}"))
            continue
        if movie is None:
            movie = Movie.create(new_id(), MovieDetails("Alien", "Horror", 1979), done)
            movies[number] = movie
        elif movie.deleted:
            movie.revert(MovieDetails("Alien", "Horror", 1979), done)
        elif what == "delete":
            movie.delete(done)
        else:
            movie.update({"year": movie.details.year + 1}, done)
        store.append([movie])
    return [str(movie.id) for movie in movies.values()]


def expected(store, wanted):
    """Return the entries that pass, decided from whole histories."""
    found = []
    ids = {event.stream_id for event in store.read(0, 10_000) if event.type in MOVIE_EVENTS}
    for stream in ids:
        found += entries(event for event in store.read(0, 10_000) if event.stream_id == stream)
    return [
        entry
        for entry in sorted(found, key=lambda entry: entry.position)
        if (not wanted.type or entry.type == wanted.type)
        and (not wanted.movie_id or entry.movie_id == wanted.movie_id)
        and (not wanted.actor or NAMES[entry.by] == wanted.actor)
        and (not wanted.since or entry.at >= wanted.since)
        and (not wanted.before or entry.at < wanted.before)
    ]


def walked(feed, wanted, limit, most_read):
    """Follow the pages from the beginning of the log; return all entries."""
    found, position, more = [], 0, True
    while more:
        page = feed.after(position, limit, wanted)
        assert len(page.entries) <= limit
        if not wanted.has_times and not wanted.movie_id and page.more:
            assert page.reached - position <= most_read
        assert page.reached > position or not page.more
        found, position, more = found + page.entries, page.reached, page.more
    return found, position


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["update", "delete", "other"]),
        st.integers(0, 2),
        st.sampled_from([ANN, BOB]),
        st.integers(0, 6),
    ),
    max_size=20,
)
FILTERS = st.builds(
    EventFilter,
    type=st.sampled_from(["", "", *MOVIE_EVENTS]),
    movie_id=st.sampled_from(["", "", "0", "1"]),
    actor=st.sampled_from(["", "", "ann", "bob"]),
    since=st.sampled_from(["", "", *map(at, range(-1, 8))]),
    before=st.sampled_from(["", "", *map(at, range(-1, 8))]),
)


@pytest.mark.slow
@SOME_DRAWS
@given(
    steps=STEPS,
    wanted=st.lists(FILTERS, min_size=1, max_size=5),
    limit=st.integers(1, 4),
    chunk=st.integers(1, 4),
    stretch=st.integers(1, 5),
)
def test_pages_have_every_wanted_event_once(
    tmp_path_factory, *, steps, wanted, limit, chunk, stretch
):
    """Clocks may go back; pages, reads and stretches may end anywhere."""
    with closing(opened(tmp_path_factory.mktemp("log") / "events.db")) as store:
        write(store, register(ANN, username="Ann"), register(BOB, username="bob"))
        ids = write_movies(store, steps)
        feed = MovieEvents(
            store,
            store.username_of,
            Timeline(store, stretch=stretch),
            chunk=chunk,
            most_read=2 * chunk,
        )
        for one in wanted:
            number = int(one.movie_id) if one.movie_id else 0
            movie_id = ids[number] if one.movie_id and number < len(ids) else ""
            filtered = EventFilter(one.type, movie_id, one.actor, one.since, one.before)
            found, reached = walked(feed, filtered, limit, 2 * chunk)
            assert found == expected(store, filtered)
            assert reached == store.head()


def test_every_kind_of_store_is_filtered(store):
    movies = library(store)
    feed = MovieEvents(store, lru_cache(store.username_of))
    for wanted, count in (
        (EventFilter(), 11),
        (EventFilter(type="MovieDeleted"), 2),
        (EventFilter(movie_id=movies.changed), 3),
        (EventFilter(actor="zoë"), 5),
        (EventFilter(actor="zoë", type="MovieRestored"), 1),
        (EventFilter(before="2000-01-01T00:00:00.000000Z"), 0),
    ):
        page = feed.after(0, 100, wanted)
        assert (len(page.entries), page.more, page.reached) == (count, False, store.head())


def test_a_page_without_results_may_have_a_next(sqlite_store):
    """A request reads a bounded part of the log."""
    write(sqlite_store, *(register(username=f"user-{number}") for number in range(10)))
    write(sqlite_store, register(ANN, username="ann"), create(MOVIE, by=ANN))
    feed = MovieEvents(sqlite_store, sqlite_store.username_of, chunk=2, most_read=6)
    first = feed.after(0, 100)
    assert (first.entries, first.reached, first.more) == ([], 6, True)
    found, reached = walked(feed, EventFilter(), 100, 6)
    assert ([entry.movie_id for entry in found], reached) == ([str(MOVIE)], sqlite_store.head())


def test_an_account_that_does_not_exist_reads_nothing(sqlite_store):
    library(sqlite_store)
    feed = MovieEvents(sqlite_store, sqlite_store.username_of, chunk=1, most_read=1)
    assert feed.after(0, 100, EventFilter(actor="nobody")) == ([], sqlite_store.head(), False)


def test_the_stream_of_an_account_is_no_movie(sqlite_store):
    library(sqlite_store)
    feed = MovieEvents(sqlite_store, sqlite_store.username_of)
    assert feed.after(0, 100, EventFilter(movie_id=str(ANN))).entries == []
    assert feed.after(0, 100, EventFilter(movie_id=str(new_id()))).entries == []


def test_an_unreadable_event_passes_by_type_and_movie_only(tmp_path):
    with closing(opened(tmp_path / "events.db")) as store:
        movies = library(store)
        with closing(sqlite3.connect(tmp_path / "events.db")) as log, log:
            log.execute(
                "UPDATE stored_events SET state = x'00' WHERE originator_id = ? AND "
                "topic = 'MovieDeleted'",
                (movies.deleted.replace("-", ""),),
            )
        feed = MovieEvents(store, store.username_of)
        deleted = EventFilter("MovieDeleted", movies.deleted)
        (entry,) = feed.after(0, 100, deleted).entries
        assert (entry.at, entry.by) == (None, None)
        for wanted in (
            EventFilter("MovieDeleted", movies.deleted, actor="ann"),
            EventFilter("MovieDeleted", movies.deleted, since="0"),
        ):
            assert feed.after(0, 100, wanted).entries == []
