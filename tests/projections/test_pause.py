"""A held generation takes no events, for a moment; readers do not notice."""

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
from tests.library import caught_up, kept, library, live, write


@pytest.fixture
def view(sqlite_store, redis):
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    return live(redis)


def test_no_event_is_applied(sqlite_store, redis, view):
    """Until it is given back."""
    write(sqlite_store, create(by=ANN))
    tail = Subscription(sqlite_store, redis)
    with pause(view) as held:
        before = kept(redis)
        assert held.position == view.read_state().position
        for _ in range(3):
            assert not tail.process_batch()
        assert kept(redis) == before
    assert tail.process_batch()
    assert view.read_state().position == sqlite_store.head()


def test_it_ends_by_itself(sqlite_store, redis, view):
    write(sqlite_store, create(by=ANN))
    with pause(view, 100):
        started = time.monotonic()
        catch_up(sqlite_store, view, sqlite_store.head())
        assert time.monotonic() - started > 0.05


def test_one_at_a_time(view, valkey):
    """Another one waits for its end."""
    other = open_redis(valkey.url)
    ends = []

    def second():
        with pause(live(other)):
            ends.append("second")

    with pause(view):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        ends.append("first")
    thread.join()
    assert ends == ["first", "second"]
    other.close()


def test_nobody_waits_for_ever(view, monkeypatch):
    monkeypatch.setattr(holding, "_TIMEOUT_S", 0.05)
    with pause(view), pytest.raises(ReadModelUnavailableError), pause(view):
        pass


def test_who_comes_late_gives_back_nothing_of_others(redis, view):
    with pause(view, 1):
        time.sleep(0.01)
        with pause(view) as second:
            pass
        redis.hset(view.keys.state, "hold", second.until_ms + 1)
    assert redis.hget(view.keys.state, "hold")


def test_there_must_be_a_generation(redis, view):
    redis.flushall()
    with pytest.raises(ReadModelUnavailableError), pause(view):
        pass
    assert redis.keys("*") == []


def test_a_mend_after_the_hold_changes_nothing(redis, view):
    """The projection may be at work again."""
    wrong = [Difference("years", b"x", 1.0, None)]
    with pause(view, 1) as held:
        time.sleep(0.01)
        before = kept(redis)
        with pytest.raises(ReadModelUnavailableError):
            repair(view, held, writes_for(wrong))
    with pytest.raises(ReadModelUnavailableError):
        repair(view, held, writes_for(wrong))
    assert kept(redis) == before
