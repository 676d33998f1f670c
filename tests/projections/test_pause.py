"""A paused generation takes no events for a moment; readers are not affected."""

import threading
import time

import pytest

from commands.errors import ReadModelUnavailableError
from projections.follow.subscription import Subscription, catch_up
from projections.generation import pause as holding
from projections.generation.pause import pause
from projections.rebuild.diff import Difference, repair, writes_for
from projections.redis_client import open_redis
from tests.controls import ANN, create
from tests.library import caught_up, generation_contents, library, live, write


@pytest.fixture
def writer(sqlite_store, redis):
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    return live(redis)


def test_no_event_is_applied_during_a_pause(sqlite_store, redis, writer):
    write(sqlite_store, create(by=ANN))
    subscription = Subscription(sqlite_store, redis)
    with pause(writer) as held:
        before = generation_contents(redis)
        assert held.position == writer.read_state().position
        for _ in range(3):
            assert not subscription.process_batch()
        assert generation_contents(redis) == before
    assert subscription.process_batch()
    assert writer.read_state().position == sqlite_store.head()


def test_a_pause_expires(sqlite_store, redis, writer):
    write(sqlite_store, create(by=ANN))
    with pause(writer, 100):
        started = time.monotonic()
        catch_up(sqlite_store, writer, sqlite_store.head())
        assert time.monotonic() - started > 0.05


def test_only_one_pause_at_a_time(writer, valkey):
    """The next one waits."""
    other = open_redis(valkey.url)
    ends = []

    def second():
        with pause(live(other)):
            ends.append("second")

    with pause(writer):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        ends.append("first")
    thread.join()
    assert ends == ["first", "second"]
    other.close()


def test_waiting_for_a_pause_has_a_timeout(writer, monkeypatch):
    monkeypatch.setattr(holding, "_TIMEOUT_S", 0.05)
    with pause(writer), pytest.raises(ReadModelUnavailableError), pause(writer):
        pass


def test_expired_pause_does_not_release_the_next(redis, writer):
    with pause(writer, 1):
        time.sleep(0.01)
        with pause(writer) as second:
            pass
        redis.hset(writer.keys.state, "hold", second.until_ms + 1)
    assert redis.hget(writer.keys.state, "hold")


def test_a_pause_needs_a_generation(redis, writer):
    redis.flushall()
    with pytest.raises(ReadModelUnavailableError), pause(writer):
        pass
    assert redis.keys("*") == []


def test_a_repair_after_the_pause_changes_nothing(redis, writer):
    """The projection may have applied events since."""
    wrong = [Difference("users", b"x", b"y", None)]
    with pause(writer, 1) as held:
        time.sleep(0.01)
        before = generation_contents(redis)
        with pytest.raises(ReadModelUnavailableError):
            repair(writer, held, writes_for(wrong))
    with pytest.raises(ReadModelUnavailableError):
        repair(writer, held, writes_for(wrong))
    assert generation_contents(redis) == before
