"""Timestamps follow the log's last one, unless that is far ahead."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from commands.aggregates.movie import Movie, MovieDetails
from commands.event_store.hybrid_clock import HybridClock
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, create, metadata, new_id, register

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def later(seconds):
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("asked", "last", "stamped"),
    [
        (0, None, 0),
        (0, -1, 0),
        (0, 0, 0),
        (0, 1, 1),
        (0, 5, 5),
        (0, 5.000001, 0),
        (0, 3600, 0),
        (-3, -1, -1),
        (-9, 4, 4),
        (-9, 60, 0),
    ],
)
def test_a_timestamp_follows_the_last_one_unless_that_is_far_ahead(asked, last, stamped):
    """Seconds from now: requested, of the last event, of the new event."""
    clock = HybridClock(lambda: NOW)
    assert clock.timestamp(later(asked), last if last is None else later(last)) == later(stamped)


def test_clock_far_ahead_is_reported_once_a_minute():
    clock = HybridClock(lambda: NOW)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            clock.timestamp(NOW, later(3600))
    assert [line["ahead_s"] for line in logs] == [3600]
    clock._warn_at -= 60
    with structlog.testing.capture_logs() as logs:
        clock.timestamp(NOW, later(3600))
    assert len(logs) == 1


def stamps(store):
    return [event.data["timestamp"] for event in store.read(0, 10_000)]


def ahead(store, seconds):
    """Append an event of a writer whose clock is ahead."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    fast = metadata()._replace(timestamp=at)
    store.append([Movie.create(new_id(), MovieDetails("Alien", "Horror", 1979), fast)])


def test_batch_follows_the_last_event(store):
    """Timestamps ascend, whatever times were requested; results have the same times."""
    ahead(store, 3)
    slow = create(by=ANN)
    slow = slow.model_copy(update={"at": slow.at - timedelta(seconds=60)})
    receipts = commit(store, [create(by=ANN), slow, register(username="bob"), create(by=ANN)])
    written = stamps(store)
    assert written == sorted(written)
    assert len(set(written)) == 1
    for receipt in receipts:
        (event,) = store.read_stream(receipt.aggregate.id)
        assert datetime.fromisoformat(event.data["timestamp"]) == receipt.aggregate.modified_on


def test_a_last_timestamp_more_than_five_seconds_ahead_is_ignored(store):
    ahead(store, 3600)
    with structlog.testing.capture_logs() as logs:
        commit(store, [create(by=ANN), create(by=ANN)])
    far, *written = stamps(store)
    assert written == sorted(written)
    assert written[-1] < far
    assert [line["log_level"] for line in logs] == ["warning"]


def test_timestamps_ascend_between_writers(store_url):
    """Each writer reads the last timestamp while it holds the writer lock."""
    stores = [Store.open(store_url) for _ in range(3)]
    answers = []

    def write(store):
        for _ in range(8):
            commands = [create(by=ANN) for _ in range(5)]
            answers.extend(commit(store, commands))

    threads = [threading.Thread(target=write, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [one for one in answers if isinstance(one, Exception)]
    written = stamps(stores[0])
    assert len(written) == 120
    assert written == sorted(written)
    for store in stores:
        store.close()
