"""A generation that is filled stream by stream is the one that batches in log order make."""

import pytest

from commands.errors import ReadModelUnavailableError
from projections.generation import lifecycle
from projections.generation.state import LIVE, REPLAYING
from projections.rebuild import replay as filling
from projections.rebuild.replay import (
    ReplayWorkers,
    StreamRange,
    finish,
    replay,
    stream_ranges,
    whole_streams,
)
from tests.controls import ANN, create
from tests.library import caught_up, kept, library, replayed, spoil, write
from tests.read_side import contents


def filled(store, redis, *, by=replay, state=LIVE):
    """Fill a new generation; return what it keeps."""
    view, until = lifecycle.new(redis, state=REPLAYING), store.head()
    steps = list(by(store, view, until))
    finish(store, view, until, sum(step.applied for step in steps), state)
    assert sum(step.read for step in steps) == store.count()
    assert view.checkpoint() == until
    return kept(redis, view.number)


@pytest.fixture(params=["in log order", "by stream"])
def way(request, monkeypatch):
    monkeypatch.setattr(filling, "BATCH", 4)
    if request.param == "by stream":
        monkeypatch.setattr(filling, "MAX_SORTED", 0)


def test_filling_and_applying_give_the_same(store, redis, way):
    """Rows, indexes, deleted ones, accounts, counts, the head."""
    library(store)
    expected = replayed(store, redis)
    assert filled(store, redis) == expected


def test_what_cannot_be_applied_is_parked(sqlite_store, redis, tmp_path, way):
    """With the last good row, as when it happens live."""
    books = library(sqlite_store)
    spoil(tmp_path / "events.db", books.changed, version=2)
    expected = replayed(sqlite_store, redis)
    assert expected["parked"].keys() == {books.changed.encode()}
    assert filled(sqlite_store, redis) == expected


def test_an_empty_log(sqlite_store, redis, way):
    expected = replayed(sqlite_store, redis)
    assert filled(sqlite_store, redis) == expected


def test_streams_are_never_divided(sqlite_store, way):
    """Also where they are longer than what is read at a time."""
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


def test_only_what_was_there_at_the_position(sqlite_store, way):
    library(sqlite_store)
    for until in range(sqlite_store.head() + 1):
        events = [e for batch in whole_streams(sqlite_store, until) for e in batch]
        assert sorted(e.position for e in events) == list(range(1, until + 1))


@pytest.mark.parametrize("number", [1, 3, 64])
def test_spans_are_everything_once(sqlite_store, number, way):
    library(sqlite_store)
    until = sqlite_store.head()
    spans = stream_ranges(sqlite_store, until, number)
    assert len(spans) <= number
    found = [
        event.position
        for span in spans
        for batch in whole_streams(sqlite_store, until, span)
        for event in batch
    ]
    assert sorted(found) == list(range(1, until + 1))


def test_several_processes(store, store_url, redis, valkey):
    """Each fills a part."""
    library(store)
    expected = replayed(store, redis)
    assert filled(store, redis, by=ReplayWorkers(2, store_url, valkey.url).replay) == expected


def test_a_process_that_fails_is_told(sqlite_store, redis, valkey, capfd):
    """Nothing is taken for whole."""
    library(sqlite_store)
    workers = ReplayWorkers(1, "sqlite:////nowhere/events.db", valkey.url)
    with pytest.raises(ReadModelUnavailableError, match="failed"):
        filled(sqlite_store, redis, by=workers.replay)
    assert capfd.readouterr().err.startswith("cinelog: ConfigurationError: ")


def test_a_generation_that_was_dropped_is_not_filled(sqlite_store, redis, monkeypatch):
    """And nothing of it stays behind."""
    monkeypatch.setattr(filling, "BATCH", 4)
    library(sqlite_store)
    view = lifecycle.new(redis, state=REPLAYING)
    steps = replay(sqlite_store, view, sqlite_store.head())
    next(steps)
    lifecycle.drop(redis, view.number)
    with pytest.raises(ReadModelUnavailableError, match="dropped"):
        next(steps)
    with pytest.raises(ReadModelUnavailableError, match="dropped"):
        finish(sqlite_store, view, sqlite_store.head(), 0, LIVE)
    assert contents(redis, view.number) == {}


def test_nobody_else_touches_what_is_being_filled(sqlite_store, redis):
    """A projection neither goes on with it nor counts it as live."""
    write(sqlite_store, create(by=ANN))
    view = lifecycle.new(redis, state=REPLAYING)
    assert view.checkpoint() is None
    assert view.apply(sqlite_store.read(0), 0) is None
    assert not lifecycle.go_live(redis, view)
    caught_up(sqlite_store, redis)
    assert lifecycle.live_number(redis) != view.number


def test_a_span_without_streams(sqlite_store):
    library(sqlite_store)
    until = sqlite_store.head()
    assert list(whole_streams(sqlite_store, until, StreamRange("f" * 36, "g"))) == []
