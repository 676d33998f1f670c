"""Every applied event of a movie counts once for its day: live, in a rebuild, after a retry."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.aggregates.event_types import MOVIE_EVENTS
from commands.aggregates.movie import Movie, MovieDetails
from commands.rfc3339 import rfc3339
from projections.generation.reader import read_days
from projections.generation.state import BUILDING
from projections.generation.writer import GenerationWriter
from projections.rebuild import parallel_replay
from projections.rebuild import replay as replaying
from projections.rebuild.parallel_replay import ReplayWorkers
from projections.rebuild.parked import discard, retry
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from tests.controls import ANN, SOME_DRAWS, create, metadata, new_id
from tests.library import (
    caught_up,
    corrupt_event,
    generation_contents,
    library,
    live,
    repair_event,
    write,
)
from tests.read_side import Story, make_live

MIDNIGHT = datetime(2026, 1, 3, tzinfo=UTC)


def days(generation):
    """Return the counts of a generation as numbers."""
    return {field.decode(): int(number) for field, number in read_days(generation)[1].items()}


def days_of(events):
    """Return what must be counted, decided from the events."""
    return Counter(
        f"{event.data['timestamp'][:10]}:{event.type}"
        for event in events
        if event.type in MOVIE_EVENTS
    )


def stories(draws):
    """Write a story: each draw is what happens to which of a few movies, and at which hour."""
    story = Story()
    ann = story.account()
    ids, deleted = [], set()
    for what, number, hours in draws:
        at = rfc3339(MIDNIGHT + timedelta(hours=hours))
        if number >= len(ids):
            ids.append(story.created(ann, timestamp=at))
            continue
        key = ids[number]
        if what == "strange":
            story.append("MovieArchived", key, timestamp=at)  # of a later release
        elif key in deleted:
            story.append("MovieRestored", key, title="A", genre="B", year=1979, timestamp=at)
            deleted.discard(key)
        elif what == "delete":
            story.append("MovieDeleted", key, timestamp=at)
            deleted.add(key)
        else:
            story.append("MovieUpdated", key, year=1980, timestamp=at)
    return story


def model(story):
    """Return the counts, given that a movie takes no event after a strange one."""
    parked, counted = set(), []
    for event in story.events:
        if event.type == "MovieArchived":
            parked.add(event.stream_id)
        elif event.stream_id not in parked:
            counted.append(event)
    return days_of(counted)


@pytest.mark.slow
@SOME_DRAWS
@given(
    draws=st.lists(
        st.tuples(
            st.sampled_from(["update", "update", "delete", "strange"]),
            st.integers(0, 4),
            st.integers(-60, 60),
        ),
        max_size=30,
    ),
    batch=st.integers(1, 7),
)
def test_each_applied_event_counts_once(redis, draws, batch):
    """Batches may end anywhere, and each may be tried again, also by another writer."""
    redis.flushall()
    story = stories(draws)
    writer = GenerationWriter(redis, 1)
    writer.create(BUILDING)
    for start in range(0, len(story.events), batch):
        events = story.events[start : start + batch]
        for _ in range(2):
            writer.apply(events, start, park=True)
        GenerationWriter(redis, 1).apply(events, start, park=True)
    assert days(writer) == model(story)
    assert int(redis.hget(writer.keys.state, "days")) == len(days(writer))


def test_a_day_is_that_of_the_event_in_utc(redis):
    story = Story()
    ann = story.account()
    for hours in (-0.001, 0, 23.999, 24):
        story.created(ann, timestamp=rfc3339(MIDNIGHT + timedelta(hours=hours)))
    assert days(make_live(redis, story)) == {
        "2026-01-02:MovieCreated": 1,
        "2026-01-03:MovieCreated": 2,
        "2026-01-04:MovieCreated": 1,
    }


def write_days(store, count):
    """Create a movie on each of several days, and change it."""
    movies = []
    for day in range(count):
        movie = Movie.create(
            new_id(), MovieDetails("Alien", "Horror", 1979), metadata(minutes=day * 24 * 60)
        )
        movie.update({"year": 1980}, metadata(minutes=day * 24 * 60))
        movies.append(movie)
    store.append(movies)


@pytest.mark.parametrize("processes", [1, 3])
def test_a_rebuild_counts_what_the_projection_counted(store, store_url, redis, valkey, processes):
    """Also if several processes share it; their counts do not fit into one line."""
    library(store)
    write_days(store, 200)
    caught_up(store, redis)
    expected = days(live(redis))
    assert expected == days_of(store.read(0))
    by = replaying.replay
    if processes > 1:
        by = ReplayWorkers(processes, store_url, valkey.url).replay
    built = rebuild(store, redis, replay=by)
    assert not built.diff.counts
    assert days(live(redis)) == expected


def test_lines_of_workers_are_undivided():
    """A pipe mixes longer ones."""
    many = {f"2026-01-02:MovieUpdated{number}": 10**12 for number in range(1_000)}
    step = replaying.ReplayProgress(7, 5, many)
    lines = list(parallel_replay._lines(step))
    assert max(map(len, lines)) <= 4096
    steps = [replaying.ReplayProgress(*orjson.loads(line)) for line in lines]
    total = replaying.ReplayProgress()
    for one in steps:
        total = total.plus(one)
    assert total == step
    assert len(list(parallel_replay._lines(replaying.ReplayProgress(7, 5, {})))) == 1


@pytest.fixture
def books(sqlite_store, redis, tmp_path):
    """A library in which one movie cannot be read from its second event on."""
    books = library(sqlite_store)
    books.path = tmp_path / "events.db"
    books.whole = days_of(sqlite_store.read(0))
    corrupt_event(books.path, books.changed, version=2)
    caught_up(sqlite_store, redis)
    return books


def test_events_of_a_parked_movie_count_once_they_are_applied(sqlite_store, redis, books):
    """A rebuild counts the same."""
    parked = days(live(redis))
    assert sum(parked.values()) == sum(books.whole.values()) - 2
    assert not rebuild(sqlite_store, redis).diff.counts
    assert days(live(redis)) == parked
    assert not verify(sqlite_store, redis).diff.counts
    repair_event(books.path, books.changed, version=2)
    list(retry(sqlite_store, live(redis), [books.changed]))
    assert days(live(redis)) == books.whole
    assert not verify(sqlite_store, redis).diff.counts


def test_events_of_a_discarded_movie_still_count(sqlite_store, redis, books):
    """They happened; only the movie leaves the lists."""
    parked = days(live(redis))
    assert discard(live(redis), books.changed)
    assert days(live(redis)) == parked
    assert not verify(sqlite_store, redis).diff.counts


@pytest.mark.parametrize("lost", ["key", "field", "other type"])
def test_a_generation_without_its_counts_is_damaged(sqlite_store, redis, books, lost):
    """The projection builds another one."""
    keys = live(redis).keys
    if lost == "field":
        redis.hdel(keys.days, *redis.hkeys(keys.days)[:1])
    else:
        redis.delete(keys.days)
    if lost == "other type":
        redis.set(keys.days, "x")
    expected = generation_contents(redis)["rows"]
    assert live(redis).read_state().state == "damaged"
    caught_up(sqlite_store, redis)
    assert live(redis).read_state().state == "live"
    assert generation_contents(redis)["rows"] == expected
    assert not verify(sqlite_store, redis).diff.counts


def test_a_repair_restores_lost_counts(sqlite_store, redis, books):
    before = generation_contents(redis)
    redis.delete(live(redis).keys.days)
    assert verify(sqlite_store, redis, repair=True).diff.counts["days"] == len(before["days"])
    assert generation_contents(redis) == before


def test_a_count_that_is_no_number_does_not_stop_the_projection(sqlite_store, redis, books):
    """Verify finds it."""
    (field, *_) = (name for name in redis.hkeys(live(redis).keys.days) if b"Created" in name)
    redis.hset(live(redis).keys.days, field, "x")
    write(sqlite_store, create(by=ANN))
    caught_up(sqlite_store, redis)
    assert redis.hget(live(redis).keys.days, field) == b"1"
    assert verify(sqlite_store, redis, repair=True).diff.counts == {"days": 1}
    assert not verify(sqlite_store, redis).diff.counts


def test_a_generation_of_an_earlier_format_needs_no_counts(sqlite_store, redis, books):
    """Its lists are shown until the new one is live."""
    keys = live(redis).keys
    redis.delete(keys.days)
    redis.hdel(keys.state, "days")
    redis.hset(keys.state, "format", 3)
    assert live(redis).read_state().state == "other format"
    caught_up(sqlite_store, redis)
    assert days(live(redis))


def test_a_dropped_generation_loses_its_counts(sqlite_store, redis, books):
    old = live(redis).keys.days
    assert redis.exists(old)
    rebuild(sqlite_store, redis)
    assert not redis.exists(old)
