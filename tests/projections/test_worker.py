"""The projection keeps the read model up to date, through outages and restarts."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import structlog

from commands.errors import EventStoreUnavailableError
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from projections.follow.lease import Lease
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.keys import NEWEST_FORMAT, Keys
from projections.rebuild.parked import discard, parked_in
from projections.redis_client import open_redis
from projections.worker import Projection
from tests.controls import create, new_id, register, update
from tests.library import catch_up, caught_up, corrupt_event, library, live, repair_event


@pytest.fixture
def account(sqlite_store):
    ann = new_id()
    commit(sqlite_store, [register(ann)])
    return ann


@contextmanager
def running(store, redis, **settings):
    """Run a projection in a thread."""
    stop = threading.Event()
    projection = Projection(store, redis, **settings)
    thread = threading.Thread(target=projection.run, args=(stop,))
    thread.start()
    try:
        yield projection
    finally:
        stop.set()
        redis.publish("movies:appended", 2**40)
        thread.join(timeout=5)
        assert not thread.is_alive()


def until(condition, timeout_s=5):
    """Wait for a condition; return the seconds it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout_s, "it did not happen in time"
        time.sleep(0.001)
    return time.monotonic() - start


def position_of(redis):
    generation = lifecycle.live_number(redis)
    shown = redis.hget(Keys(generation).state, "position")
    return int(shown) if shown else None


def shows(redis, store):
    return lambda: position_of(redis) == store.head()


def test_parked_movies_are_retried_at_the_start(sqlite_store, redis, tmp_path):
    """This release may be able to apply the event. Discarded movies are not retried."""
    books = library(sqlite_store)
    for movie in (books.changed, books.back):
        corrupt_event(tmp_path / "events.db", movie, version=2)
    caught_up(sqlite_store, redis)
    writer = live(redis)
    assert discard(writer, books.back)
    for movie in (books.changed, books.back):
        repair_event(tmp_path / "events.db", movie, version=2)
    with structlog.testing.capture_logs() as logs, running(sqlite_store, redis):
        until(lambda: list(parked_in(live(redis))) == [books.back])
        until(lambda: any(line["event"] == "taken up again" for line in logs))
    assert [line["stream"] for line in logs if "stream" in line] == [books.changed]
    row = redis.hget(live(redis).keys.rows, books.changed)
    assert b'"title":"\xc3\x89lan"' in row


def test_an_append_is_shown_at_once(sqlite_store, redis, account):
    """A notification wakes the loop long before its next poll."""
    with running(sqlite_store, redis, poll_s=60):
        until(shows(redis, sqlite_store))
        until(lambda: redis.pubsub_numsub("movies:appended")[0][1] == 1)
        for _ in range(5):
            (result,) = commit(sqlite_store, [create(by=account)])
            redis.publish("movies:appended", result.position)
            assert until(shows(redis, sqlite_store)) < 1


def test_a_lost_notification_is_made_up_by_polling(sqlite_store, redis, account):
    with running(sqlite_store, redis, poll_s=0.05):
        until(shows(redis, sqlite_store))
        commit(sqlite_store, [create(by=account)])
        until(shows(redis, sqlite_store))


def test_an_invalid_notification_is_ignored(sqlite_store, redis, account):
    with running(sqlite_store, redis, poll_s=0.05):
        until(shows(redis, sqlite_store))
        redis.publish("movies:appended", "nonsense")
        commit(sqlite_store, [create(by=account)])
        until(shows(redis, sqlite_store))


def test_a_wiped_redis_is_filled_again(sqlite_store, redis, account):
    """No new event is needed."""
    commit(sqlite_store, [create(by=account) for _ in range(5)])
    with running(sqlite_store, redis, poll_s=0.05):
        until(shows(redis, sqlite_store))
        redis.flushall()
        until(shows(redis, sqlite_store))
        assert redis.hlen(Keys(lifecycle.live_number(redis)).rows) == 5


def test_a_redis_that_comes_back_empty_is_filled_again(sqlite_store, own_valkey, account):
    """The projection survives the outage, and logs that it waits."""
    commit(sqlite_store, [create(by=account)])
    redis = open_redis(own_valkey.url)
    with structlog.testing.capture_logs() as logs, running(sqlite_store, redis, poll_s=0.05):
        until(shows(redis, sqlite_store))
        own_valkey.stop()
        until(lambda: any(line["event"] == "projection waits" for line in logs))
        time.sleep(0.2)
        own_valkey.start()
        until(shows(redis, sqlite_store))
    (waits,) = [line for line in logs if line["event"] == "projection waits"]  # not at each try
    assert (waits["position"], waits["pause_s"]) == (sqlite_store.head(), 0.05)
    assert waits["error"].startswith("ConnectionError: ")
    assert waits["log_level"] == "warning"
    redis.close()


def test_a_lease_that_cannot_be_released_is_logged(sqlite_store, own_valkey, account):
    """It expires by itself."""
    redis = open_redis(own_valkey.url, retries=0)
    stop = threading.Event()
    projection = Projection(sqlite_store, redis)
    stop.set()
    own_valkey.stop()
    with structlog.testing.capture_logs() as logs:
        projection.run(stop)
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("lease not released", "info")
    assert line["error"]
    own_valkey.start()
    redis.close()


def test_a_projection_that_stops_lets_others_build_and_be_active_at_once(sqlite_store, redis):
    with running(sqlite_store, redis):
        until(lambda: redis.exists("movies:lease", NEWEST_FORMAT) == 2)
    assert not redis.exists("movies:lease", NEWEST_FORMAT)
    assert redis.pubsub_numsub("movies:appended")[0][1] == 0


class UnreachableStore(Store):
    """A store whose first reads fail."""

    reads_lost = 2

    def read(self, after, limit=1000, until=None):
        if self.reads_lost:
            self.reads_lost -= 1
            raise EventStoreUnavailableError
        return super().read(after, limit, until)


def test_an_unreachable_store_is_read_again(sqlite_store, redis, account):
    commit(sqlite_store, [create(by=account)])
    with running(UnreachableStore(sqlite_store._application), redis):
        until(shows(redis, sqlite_store))


def test_two_projections_count_each_event_once(sqlite_store, redis, account, valkey):
    """The lease only saves work; the position ensures that the result is right."""
    other = open_redis(valkey.url)
    intruder = Subscription(sqlite_store, other)
    with running(sqlite_store, redis, poll_s=0.01) as active:
        until(shows(redis, sqlite_store))
        for number in range(50):
            commit(sqlite_store, [create(by=account, title=f"Alien {number}")])
            catch_up(intruder)
        until(lambda: active.position == sqlite_store.head())
    head = redis.hgetall(Keys(1).state)
    assert int(head[b"events"]) == sqlite_store.count()
    assert redis.hlen(Keys(1).rows) == 50
    other.close()


def test_a_stopped_projection_releases_the_lease(sqlite_store, redis, account, valkey):
    """The next projection need not wait until the lease expires."""
    other = open_redis(valkey.url)
    with running(sqlite_store, redis):
        until(lambda: redis.exists("movies:lease"))
        first = redis.get("movies:lease")
        stop = threading.Event()
        second = threading.Thread(target=Projection(sqlite_store, other).run, args=(stop,))
        second.start()
    assert until(lambda: redis.get("movies:lease") not in (None, first)) < 2
    commit(sqlite_store, [update(new_id()), create(by=account)])
    until(shows(redis, sqlite_store))
    stop.set()
    second.join()
    assert redis.get("movies:lease") is None
    other.close()


def test_a_lease_has_one_holder(redis):
    """It lasts while it is renewed, until it is released or expires."""
    mine, yours = Lease(redis, lease_ms=200), Lease(redis, lease_ms=200)
    assert mine.acquire_or_renew()
    assert not yours.acquire_or_renew()
    time.sleep(0.15)
    assert mine.acquire_or_renew()
    time.sleep(0.1)
    assert not yours.acquire_or_renew()
    mine.release()
    assert yours.acquire_or_renew()
    yours.release()
    assert mine.acquire_or_renew()
    time.sleep(0.25)
    assert yours.acquire_or_renew()
    assert not mine.acquire_or_renew()


def test_a_lease_is_renewed_four_times_in_its_lifetime(redis):
    """Between two renewals Redis is not asked."""
    lease = Lease(redis, 400, key="some:lease", holder="me")
    assert lease.acquire_or_renew()
    assert redis.get("some:lease") == b"me"
    assert 300 < redis.pttl("some:lease") <= 400
    redis.set("some:lease", "you")
    assert lease.acquire_or_renew()
    until(lambda: not lease.acquire_or_renew(), 0.3)
    lease.release()
    assert redis.get("some:lease") == b"you"


def test_a_released_lease_is_asked_for_again(redis):
    lease = Lease(redis)
    assert lease.acquire_or_renew()
    assert 4_000 < redis.pttl("movies:lease") <= 5_000
    lease.release()
    assert Lease(redis).acquire_or_renew()
    assert not lease.acquire_or_renew()


def test_those_who_give_the_same_holder_share_a_lease(redis):
    assert Lease(redis, holder="us").acquire_or_renew()
    assert Lease(redis, holder="us").acquire_or_renew()
    assert not Lease(redis, holder="them").acquire_or_renew()


def test_a_release_leaves_the_lease_of_another_alone(redis):
    mine, yours = Lease(redis), Lease(redis)
    assert mine.acquire_or_renew()
    yours.release()
    assert not yours.acquire_or_renew()


def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once(redis):
    """A restarted projection continues at once after a crash."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    redis.set("movies:lease", f"{socket.gethostname()}:{dead.pid}:x", px=60_000)
    assert Lease(redis).acquire_or_renew()


@pytest.mark.parametrize(
    "holder",
    [
        "elsewhere:1:x",
        "{here}:{pid}:x",
        "{here}:999999999999999999999999999999:x",
        "{here}:one:x",
        "?",
    ],
    ids=["another machine", "a living process", "no process", "no number", "no holder"],
)
def test_the_lease_of_another_holder_is_respected(redis, holder):
    """A living process gets no signal, either."""
    holder = holder.format(here=socket.gethostname(), pid=os.getpid())
    redis.set("movies:lease", holder, px=60_000)
    assert not Lease(redis).acquire_or_renew()
