"""A replay stream by stream gives the same generation as batches in log order."""

from functools import reduce

import pytest

from commands.errors import ReadModelUnavailableError
from projections.generation import lifecycle
from projections.generation.state import LIVE, REPLAYING
from projections.rebuild import replay as replaying
from projections.rebuild.parallel_replay import ReplayWorkers, stream_ranges
from projections.rebuild.replay import ReplayProgress, StreamRange, finish, replay, whole_streams
from tests.controls import ANN, create
from tests.library import (
    caught_up,
    corrupt_event,
    expected_contents,
    generation_contents,
    library,
    write,
)
from tests.read_side import contents


def replayed_into_new(store, redis, *, by=replay, state=LIVE):
    """Replay into a new generation; return its contents."""
    writer, until = lifecycle.new(redis, state=REPLAYING), store.head()
    steps = list(by(store, writer, until))
    total = reduce(ReplayProgress.plus, steps, ReplayProgress())
    finish(store, writer, until, total, state)
    assert total.read == store.count()
    assert writer.checkpoint() == until
    return generation_contents(redis, writer.number)


@pytest.fixture(params=["in log order", "by stream"])
def read_order(request, monkeypatch):
    monkeypatch.setattr(replaying, "BATCH", 4)
    if request.param == "by stream":
        monkeypatch.setattr(replaying, "MAX_SORTED", 0)


def test_replay_and_batches_give_the_same_generation(store, redis, read_order):
    """This includes deleted movies, accounts and counts."""
    library(store)
    expected = expected_contents(store, redis)
    assert replayed_into_new(store, redis) == expected


def test_a_replay_parks_movies(sqlite_store, redis, tmp_path, read_order):
    """Their last good row is kept, as by a projection."""
    books = library(sqlite_store)
    corrupt_event(tmp_path / "events.db", books.changed, version=2)
    expected = expected_contents(sqlite_store, redis)
    assert expected["parked"].keys() == {books.changed.encode()}
    assert replayed_into_new(sqlite_store, redis) == expected


def test_an_empty_log_is_replayed(sqlite_store, redis, read_order):
    expected = expected_contents(sqlite_store, redis)
    assert replayed_into_new(sqlite_store, redis) == expected


def test_streams_are_never_divided(sqlite_store, read_order):
    """Even if they are longer than one read."""
    library(sqlite_store)
    seen = []
    for events in whole_streams(sqlite_store, sqlite_store.head()):
        streams = {event.stream_id for event in events}
        assert streams.isdisjoint(seen)
        seen += streams
        for stream in streams:
            versions = [event.version for event in events if event.stream_id == stream]
            assert versions == list(range(1, len(versions) + 1))
    assert len(set(seen)) == len(seen)


def test_streams_end_at_the_position(sqlite_store, read_order):
    library(sqlite_store)
    for until in range(sqlite_store.head() + 1):
        events = [e for batch in whole_streams(sqlite_store, until) for e in batch]
        assert sorted(e.position for e in events) == list(range(1, until + 1))


@pytest.mark.parametrize("number", [1, 3, 64])
def test_ranges_contain_every_event_once(sqlite_store, number, read_order):
    library(sqlite_store)
    until = sqlite_store.head()
    ranges = stream_ranges(sqlite_store, until, number)
    assert len(ranges) <= number
    found = [
        event.position
        for streams in ranges
        for batch in whole_streams(sqlite_store, until, streams)
        for event in batch
    ]
    assert sorted(found) == list(range(1, until + 1))


def test_parallel_workers_give_the_same_generation(store, store_url, redis, valkey):
    """Each replays a part of the log."""
    library(store)
    expected = expected_contents(store, redis)
    assert (
        replayed_into_new(store, redis, by=ReplayWorkers(2, store_url, valkey.url).replay)
        == expected
    )


def test_a_failed_worker_fails_the_replay(sqlite_store, redis, valkey, capfd):
    library(sqlite_store)
    workers = ReplayWorkers(1, "sqlite:////nowhere/events.db", valkey.url)
    with pytest.raises(ReadModelUnavailableError, match="failed"):
        replayed_into_new(sqlite_store, redis, by=workers.replay)
    assert capfd.readouterr().err.startswith("cinelog: ConfigurationError: ")


def test_the_replay_of_a_dropped_generation_fails(sqlite_store, redis, monkeypatch):
    """It leaves no key."""
    monkeypatch.setattr(replaying, "BATCH", 4)
    library(sqlite_store)
    writer = lifecycle.new(redis, state=REPLAYING)
    steps = replay(sqlite_store, writer, sqlite_store.head())
    next(steps)
    lifecycle.drop(redis, writer.number)
    with pytest.raises(ReadModelUnavailableError, match="dropped"):
        next(steps)
    with pytest.raises(ReadModelUnavailableError, match="dropped"):
        finish(sqlite_store, writer, sqlite_store.head(), ReplayProgress(), LIVE)
    assert contents(redis, writer.number) == {}


def test_a_projection_ignores_a_generation_in_replay(sqlite_store, redis):
    """It neither continues it nor makes it live."""
    write(sqlite_store, create(by=ANN))
    writer = lifecycle.new(redis, state=REPLAYING)
    assert writer.checkpoint() is None
    assert writer.apply(sqlite_store.read(0), 0) is None
    assert not lifecycle.go_live(redis, writer)
    caught_up(sqlite_store, redis)
    assert lifecycle.live_number(redis) != writer.number


def test_a_range_without_streams_has_no_events(sqlite_store):
    library(sqlite_store)
    until = sqlite_store.head()
    assert list(whole_streams(sqlite_store, until, StreamRange("f" * 36, "g"))) == []
