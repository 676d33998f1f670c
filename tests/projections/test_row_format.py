"""A generation keeps the row format of its release; a release with another format rebuilds it."""

import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from commands.errors import ReadModelUnavailableError
from projections.follow.precedence import Precedence
from projections.follow.subscription import Subscription
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.state import LIVE, OTHER_FORMAT, ROW_FORMAT
from projections.keys import GENERATIONS, NEWEST_FORMAT, POSITION, Keys
from projections.rebuild.point_in_time import TOUCH_LIST, build, touch_arguments
from projections.rebuild.rebuild import rebuild
from projections.rebuild.verify import verify
from projections.worker import Projection
from service.observability.status import _live_generation
from tests.controls import ANN, create, register
from tests.library import caught_up, generation_contents, library, live, write


def change_format(redis, row_format):
    """Make the live generation one of another release, whose rows lack a field."""
    head = live(redis).keys.state
    if row_format is None:
        redis.hdel(head, "format")
    else:
        redis.hset(head, "format", row_format)
    rows = live(redis).keys.rows
    for key, line in redis.hgetall(rows).items():
        redis.hset(rows, key, line.replace(b'"version":', b'"release":'))


@pytest.mark.parametrize("row_format", [None, 1, ROW_FORMAT + 1, "", "junk", -1])
def test_a_generation_of_another_format_serves_until_it_is_rebuilt(sqlite_store, redis, row_format):
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    expected, old = generation_contents(redis), lifecycle.live_number(redis)
    change_format(redis, row_format)
    subscription = Subscription(sqlite_store, redis, limit=5)
    assert not subscription.process_batch()
    assert lifecycle.live_number(redis) == old
    assert live(redis).read_state().state == OTHER_FORMAT
    assert redis.hget(Keys(old).state, "state") == LIVE.encode()
    caught_up(sqlite_store, redis)
    assert lifecycle.live_number(redis) == old + 1
    assert generation_contents(redis) == expected
    assert not redis.exists(Keys(old).state)


def test_a_generation_of_another_format_takes_no_events(sqlite_store, redis):
    """A writer that found it usable before is refused, too."""
    library(sqlite_store)
    subscription = caught_up(sqlite_store, redis)
    writer = live(redis)
    rows = redis.hgetall(writer.keys.rows)
    redis.hset(writer.keys.state, "format", ROW_FORMAT + 1)
    write(sqlite_store, create(by=ANN))
    assert not subscription.process_batch()
    assert redis.hgetall(writer.keys.rows) == rows


def test_an_unfinished_generation_of_another_format_is_not_continued(sqlite_store, redis):
    library(sqlite_store)
    half = lifecycle.begin(redis, row_format=ROW_FORMAT + 1)
    Subscription(sqlite_store, redis, limit=5, row_format=ROW_FORMAT + 1).process_batch()
    caught_up(sqlite_store, redis)
    assert lifecycle.live_number(redis) == half.number + 1
    assert not verify(sqlite_store, redis).diff.counts


def test_another_format_of_another_log_is_not_served(sqlite_store, redis):
    """Rows of an earlier release may be shown for a while, rows of another log never."""
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    redis.hset(live(redis).keys.state, mapping={"format": 1, "last": "x:1:y"})
    old = live(redis).keys.state
    assert not Subscription(sqlite_store, redis, limit=5).process_batch()
    assert redis.hget(old, "state") != LIVE.encode()


def test_verify_reports_another_format_and_rebuild_replaces_it(sqlite_store, redis):
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    change_format(redis, 1)
    found = verify(sqlite_store, redis, repair=True)
    assert found.other_format
    assert [(one.key, one.field, one.wanted, one.shown) for one in found.diff.first] == [
        ("head", b"format", b"%d" % ROW_FORMAT, b"1")
    ]
    assert rebuild(sqlite_store, redis).compared == 0
    assert not verify(sqlite_store, redis).diff.counts


def test_rows_of_another_format_are_not_changed(sqlite_store, redis):
    """A repair or a retry of parked movies is refused."""
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    redis.hdel(live(redis).keys.state, "format")
    with pytest.raises(ReadModelUnavailableError, match=r"format"), pause(live(redis)):
        pass
    assert redis.hget(live(redis).keys.state, "hold") is None


def test_the_status_has_the_format(sqlite_store, redis):
    library(sqlite_store)
    caught_up(sqlite_store, redis)
    change_format(redis, ROW_FORMAT + 1)
    status = _live_generation(redis)
    formats = (status.state, status.format, status.format_expected)
    assert formats == (OTHER_FORMAT, ROW_FORMAT + 1, ROW_FORMAT)


def test_a_point_in_time_list_of_another_format_is_rebuilt(sqlite_store, redis):
    library(sqlite_store)
    assert build(sqlite_store, redis, 5)
    head = Keys(-5).state
    name = redis.hget(head, "last").decode()
    redis.hdel(head, "format")
    assert not TOUCH_LIST.run(redis, *touch_arguments(5, name))
    assert build(sqlite_store, redis, 5)
    assert TOUCH_LIST.run(redis, *touch_arguments(5, name))


@contextmanager
def running(store, redis, row_format, notice_ms=30_000):
    """A projection of a release with a row format, in a thread."""
    stop = threading.Event()
    projection = Projection(store, redis, row_format=row_format, notice_ms=notice_ms, poll_s=0.02)
    thread = threading.Thread(target=projection.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
        assert not thread.is_alive()


def until(condition):
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)


def shows(redis, store, row_format):
    number = lifecycle.live_number(redis)
    head = redis.hmget(Keys(number).state, "format", "position") if number else None
    return head == [b"%d" % row_format, b"%d" % store.head()]


def test_the_newer_of_two_releases_projects(sqlite_store, redis):
    """They may start in any order; the older one continues when the newer one ends."""
    write(sqlite_store, register(ANN), create(by=ANN))
    with running(sqlite_store, redis, 7):
        until(lambda: shows(redis, sqlite_store, 7))
        with running(sqlite_store, redis, 8):
            until(lambda: shows(redis, sqlite_store, 8))
            number = lifecycle.live_number(redis)
            for _ in range(3):
                write(sqlite_store, create(by=ANN))
                until(lambda: shows(redis, sqlite_store, 8))
                time.sleep(0.2)
            assert lifecycle.live_number(redis) == number
        until(lambda: shows(redis, sqlite_store, 7))
        assert lifecycle.live_number(redis) == number + 1


def test_a_killed_newer_release_keeps_precedence_for_a_while(redis):
    """Its supervisor restarts it, and must not find an older generation."""
    with ExitStack() as stack:
        newer, older = Precedence(redis, 8, 300), Precedence(redis, 7, 300)
        stack.callback(older.withdraw)
        assert newer.is_first()
        assert not older.is_first()
        older.withdraw()
        assert redis.get(NEWEST_FORMAT) == b"8"
        until(lambda: not redis.exists(NEWEST_FORMAT))
        until(older.is_first)
    assert not redis.exists(NEWEST_FORMAT)


@pytest.mark.parametrize("junk", ["x", "", "-3"])
def test_junk_in_the_announcement_is_ignored(redis, junk):
    redis.set(NEWEST_FORMAT, junk)
    assert Precedence(redis, 7).is_first()
    redis.delete(NEWEST_FORMAT)
    redis.sadd(NEWEST_FORMAT, "1")
    assert Precedence(redis, 7).is_first()


class HeldStore:
    """A store whose reads of the log wait until they are let go.

    ``at_the_end`` is called before a generation that has caught up goes live.
    """

    def __init__(self, store, at_the_end):
        self._store, self._at_the_end = store, at_the_end
        self.let_go = threading.Event()

    def read(self, *args):
        assert self.let_go.wait(10)
        return self._store.read(*args)

    @property
    def integrity(self):
        if self.let_go.is_set():
            self._at_the_end()
        return self._store.integrity

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_an_older_release_keeps_its_lists_current_while_a_newer_one_builds(sqlite_store, redis):
    """The newer one switches at one position: what readers see never goes back."""

    def write_and_show():
        write(sqlite_store, create(by=ANN))
        until(lambda: shows(redis, sqlite_store, 7))

    write(sqlite_store, register(ANN), create(by=ANN))
    slow = HeldStore(sqlite_store, at_the_end=write_and_show)
    positions = redis.pubsub(ignore_subscribe_messages=True)
    positions.subscribe(POSITION)
    assert positions.get_message(timeout=1) is None  # the confirmation
    with running(sqlite_store, redis, 7):
        until(lambda: shows(redis, sqlite_store, 7))
        old = lifecycle.live_number(redis)
        with running(slow, redis, 8):
            until(lambda: redis.get(NEWEST_FORMAT) == b"8")
            for _ in range(3):
                time.sleep(0.3)  # the older one learns of the newer one meanwhile
                write_and_show()
            slow.let_go.set()
            until(lambda: lifecycle.live_number(redis) != old)
            until(lambda: shows(redis, sqlite_store, 8))
            time.sleep(0.7)  # the older one stands by
            assert shows(redis, sqlite_store, 8)
            assert redis.smembers(GENERATIONS) == {b"%d" % lifecycle.live_number(redis)}
    seen = []
    while message := positions.get_message(timeout=0.1):
        seen.append(int(message["data"].rpartition(b":")[2]))
    assert len(seen) > 5
    assert seen == sorted(seen)


def test_an_older_release_builds_nothing_while_a_newer_one_does(sqlite_store, redis):
    write(sqlite_store, register(ANN), create(by=ANN))
    newer = Precedence(redis, 8)
    assert newer.is_first()
    with running(sqlite_store, redis, 7):
        time.sleep(0.7)
        assert lifecycle.live_number(redis) is None
        assert not redis.exists(GENERATIONS)
    newer.withdraw()
