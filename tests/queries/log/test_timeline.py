"""Timeline: the log at a time ends before the first event with a later timestamp."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.aggregates.movie import Movie, MovieDetails
from commands.errors import NotFoundError
from commands.event_store.store import Store
from commands.rfc3339 import rfc3339
from queries.log.history import movie_at_position
from queries.log.timeline import Timeline
from tests.controls import MOVIE, NOON, SOME_DRAWS, metadata, new_id
from tests.library import rewrite

LATE = datetime(9999, 12, 31, tzinfo=UTC)


def movie(minutes, movie_id=None):
    return Movie.create(
        movie_id or new_id(), MovieDetails("Alien", "Horror", 1979), metadata(minutes=minutes)
    )


def store_with(path, minutes):
    store = Store.open(f"sqlite:///{path}")
    store.append([movie(one) for one in minutes])
    return store


def expected_position(minutes, at):
    """Return the last position before the first timestamp that is later than ``at``."""
    return next((position for position, one in enumerate(minutes) if one > at), len(minutes))


@pytest.mark.slow
@SOME_DRAWS
@given(
    minutes=st.lists(st.integers(0, 9), max_size=14),
    asked=st.lists(st.integers(-1, 10), min_size=1, max_size=6),
    stretch=st.integers(1, 5),
    later=st.lists(st.integers(0, 9), max_size=5),
)
def test_timestamps_may_come_in_any_order(tmp_path_factory, minutes, asked, stretch, later):
    """The log may grow, and its stretches may end anywhere."""
    store = store_with(tmp_path_factory.mktemp("log") / "events.db", minutes)
    try:
        timeline = Timeline(store, stretch=stretch)
        for log in (minutes, minutes + later):
            for at in asked:
                found = timeline.position_at(NOON + timedelta(minutes=at))
                assert found == expected_position(log, at)
            if log is minutes:
                store.append([movie(one) for one in later])
    finally:
        store.close()


def test_an_empty_log_is_at_position_0(store):
    assert Timeline(store).position_at(LATE) == 0


def test_every_kind_of_store_has_a_timeline(store):
    store.append([movie(one) for one in (60, 61, 0, 1)])
    timeline = Timeline(store)
    for minutes, position in ((0, 0), (59, 0), (60, 1), (61, 4)):
        assert timeline.position_at(NOON + timedelta(minutes=minutes)) == position


def test_a_movie_at_a_time_agrees_with_the_whole_log(sqlite_store):
    """Its own timestamps do not matter: lists show what the whole log shows."""
    first = movie(0, MOVIE)
    sqlite_store.append([first])
    sqlite_store.append([movie(60)])
    first.update({"year": 1980}, metadata(minutes=1))
    sqlite_store.append([first])
    timeline = Timeline(sqlite_store)

    def year_at(minutes):
        position = timeline.position_at(NOON + timedelta(minutes=minutes))
        return movie_at_position(sqlite_store, MOVIE, position).details.year

    with pytest.raises(NotFoundError):
        year_at(-1)
    assert [year_at(minutes) for minutes in (0, 1, 59, 60)] == [1979, 1979, 1979, 1980]


@pytest.mark.parametrize("timestamp", [None, "soon", "2026-01-02", 7, "9999-12-31T00:00:00Z"])
def test_an_event_without_a_valid_timestamp_is_not_later(tmp_path, timestamp):
    path = tmp_path / "events.db"
    store = store_with(path, [0, 1, 2])
    rewrite(path, store.read(1, 1)[0].stream_id, timestamp=timestamp)
    timeline = Timeline(store, stretch=2)
    assert timeline.position_at(NOON + timedelta(minutes=1)) == 2
    assert timeline.position_at(NOON + timedelta(minutes=2)) == 3
    store.close()


def test_timestamps_inside_titles_are_ignored(tmp_path):
    """A log is imported byte for byte, and a title may contain any text."""
    path = tmp_path / "events.db"
    store = store_with(path, [0, 1])
    title = '"timestamp":"9999-12-31T00:00:00.000000Z"'
    rewrite(path, store.read(0, 1)[0].stream_id, title=title)
    assert [stamp for _, stamp in store.read_timestamps(0, 9)] == [
        event.data["timestamp"] for event in store.read(0)
    ]
    import sqlite3  # noqa: PLC0415

    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), '\":\"', '\" : \"') AS BLOB)"
        )
    connection.close()
    assert [stamp for _, stamp in store.read_timestamps(0, 9)] == [
        event.data["timestamp"] for event in store.read(0)
    ]
    store.close()


def test_another_log_at_the_same_url_is_read_afresh(tmp_path):
    """No timestamp of the previous log is remembered."""
    timeline = Timeline(store_with(tmp_path / "one.db", [60, 61, 62]))
    assert timeline.position_at(LATE) == 3
    timeline._store = store_with(tmp_path / "other.db", [0, 1])
    assert timeline.position_at(NOON + timedelta(minutes=1)) == 2


def test_a_stretch_is_read_once(sqlite_store):
    """A time before the latest timestamp costs few reads, however long the log is."""
    sqlite_store.append([movie(one) for one in range(50)])
    timeline = Timeline(sqlite_store, stretch=5)
    timeline.position_at(LATE)
    reads = []
    read_timestamps = sqlite_store.read_timestamps
    sqlite_store.read_timestamps = lambda *args: reads.append(args) or read_timestamps(*args)
    assert timeline.position_at(NOON + timedelta(minutes=22)) == 23
    assert reads == [(20, 5)]


@pytest.mark.slow
@SOME_DRAWS
@given(
    minutes=st.lists(st.integers(0, 9), max_size=14),
    asked=st.lists(
        st.tuples(st.integers(0, 19), st.integers(-1, 10), st.integers(-1, 10)), max_size=6
    ),
    stretch=st.integers(1, 5),
    later=st.lists(st.integers(0, 9), max_size=5),
)
def test_nothing_within_a_range_is_skipped(tmp_path_factory, minutes, asked, stretch, later):
    def stamp(minute):
        return "" if minute < 0 else rfc3339(NOON + timedelta(minutes=minute))

    store = store_with(tmp_path_factory.mktemp("log") / "events.db", minutes)
    try:
        timeline = Timeline(store, stretch=stretch)
        for log in (minutes, minutes + later):
            for after, since, before in asked:
                found = timeline.skip(after, stamp(since), stamp(before))
                within = [
                    position
                    for position, minute in enumerate(log, 1)
                    if position > after and minute >= since and (before < 0 or minute < before)
                ]
                first = min(within, default=len(log) + 1)
                assert after <= found
                assert found < first or found == after
            if log is minutes:
                store.append([movie(one) for one in later])
    finally:
        store.close()


@pytest.mark.parametrize(
    ("after", "since", "before", "position"),
    [(0, 0, 1, 0), (0, 60, 0, 2), (3, 60, 0, 3), (0, 30, 50, 6), (2, 0, 30, 6), (0, 61, 90, 2)],
)
def test_stretches_outside_a_range_are_skipped(sqlite_store, after, since, before, position):
    """The last, incomplete one is not known."""
    sqlite_store.append([movie(one) for one in (0, 1, 60, 61, 120, 121, 0)])
    stamps = [rfc3339(NOON + timedelta(minutes=one)) if one else "" for one in (since, before)]
    assert Timeline(sqlite_store, stretch=2).skip(after, *stamps) == position


def test_skipping_starts_again_in_another_log(tmp_path):
    path = tmp_path / "events.db"
    with closing(store_with(path, [0, 1, 60, 61])) as store:
        timeline = Timeline(store, stretch=2)
        late = rfc3339(NOON + timedelta(minutes=30))
        assert timeline.skip(0, late, "") == 2
        assert timeline.skip(0, "", late) == 0
        for event in store.read(0):
            other = rfc3339(NOON if event.position > 2 else NOON + timedelta(minutes=60))
            rewrite(path, event.stream_id, timestamp=other)
        assert timeline.skip(0, late, "") == 0
        assert timeline.skip(0, "", late) == 2
