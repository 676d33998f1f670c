"""Log identity: a new epoch begins if the log does not extend what was read before."""

import sqlite3
import threading
from contextlib import closing

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import EventStoreUnavailableError
from commands.event_store.log.continuity import last_shared_position, thin_out
from commands.event_store.log.event_log import LogMark
from commands.event_store.log.log_identity import ClaimedLog, Epoch, LogIdentity, parse_log
from commands.event_store.store import Store
from commands.execution.group_commit import CommandResult, commit
from tests.controls import ANN, MOVIE, create, register, update

LOG = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def tree(*epochs):
    return LogIdentity(LOG, tuple(Epoch(*one) for one in epochs))


def cut(url, position):
    """Cut a log off at a position, as a failover can."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("DELETE FROM stored_events WHERE rowid > ?", (position,))
            connection.commit()
    else:
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM cinelog_events WHERE notification_id > %s", (position,))


def grow(store, count=1):
    commit(store, [create() for _ in range(count)])
    return store.head()


@pytest.mark.parametrize(
    ("text", "claimed"),
    [
        (f"{LOG}.1", ClaimedLog(LOG, 1)),
        (f" {LOG.upper()}.17 ", ClaimedLog(LOG, 17)),
        (LOG, None),
        (f"{LOG}.", None),
        (f"{LOG}.01", None),
        (f"{LOG}.-1", None),
        (f"{LOG}.1.2", None),
        (f"{LOG}.{'9' * 19}", None),
        ("", None),
        ("1", None),
    ],
)
def test_parse_log(text, claimed):
    assert parse_log(text) == claimed


@pytest.mark.parametrize(
    ("identity", "epoch", "shared"),
    [
        (tree((1, None, 0)), 1, 600),
        (tree((1, None, 0), (2, 1, 300)), 2, 600),
        (tree((1, None, 0), (2, 1, 300)), 1, 300),
        # Two branches of one epoch agree up to the earlier branch.
        (tree((1, None, 0), (2, 1, 250), (3, 1, 300)), 2, 250),
        (tree((1, None, 0), (2, 1, 300), (3, 1, 250)), 2, 250),
        (tree((1, None, 0), (2, 1, 250), (3, 2, 400)), 1, 250),
        (tree((1, None, 0), (2, 1, 250), (3, 2, 100)), 1, 100),
        (tree((1, None, 0), (2, 1, 700)), 1, 600),
        (tree((1, None, 0)), 9, 0),
    ],
)
def test_shared_position_of_two_epochs(identity, epoch, shared):
    assert identity.shared_with(ClaimedLog(LOG, epoch), head=600) == shared
    assert identity.shared_with(ClaimedLog(OTHER, epoch), head=600) is None


def test_epoch_numbers_of_restores_differ():
    """Numbers grow, and restores in different seconds get different numbers."""
    first = tree((1, None, 0)).next_epoch(300, 1)
    assert first.epoch > 1_700_000_000
    assert first.next_epoch(400, 1).epoch > first.epoch
    assert first.epochs[-1][1:] == (1, 300)


@pytest.mark.parametrize(
    "rows",
    [[], [[1, None]], [[1, 2, 0]], [[2, 1, 0]], [[1, None, 0], [1, None, 0]], [["1", None, 0]]],
)
def test_invalid_rows_are_refused(rows):
    with pytest.raises((ValueError, TypeError)):
        LogIdentity.of_rows(LOG, rows)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200))
def test_number_of_marks_is_logarithmic(steps):
    marks, position = (), 0
    for step in steps:
        position += step
        marks = thin_out((*marks, LogMark(position, str(position))))
    positions = [one.position for one in marks]
    assert positions == sorted(set(positions))
    assert positions[-1] == position
    assert len(marks) <= 8 + position.bit_length()


def test_log_gets_its_identity_once(store, store_url):
    """The first process decides it, and the others read it."""
    identities = []

    def ask():
        other = Store.open(store_url)
        identities.append(other.identity())
        other.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(one) for one in identities}) == 1
    assert store.identity() == identities[0]
    assert store.identity().epoch == 1


def test_growth_begins_no_epoch(store, store_url):
    other = Store.open(store_url)
    before = store.identity()
    for writer in (store, other, store):
        grow(writer)
        store.continuity.refresh()
    assert store.identity() == other.identity() == before
    assert store.continuity.highest == store.head()
    other.close()


def test_lost_end_begins_a_new_epoch(store, store_url):
    """The first process that notices begins it; the others follow and drop their caches."""
    other = Store.open(store_url)
    commit(store, [register(ANN), create(MOVIE)])
    shared = store.head()
    before = store.identity()
    commit(store, [update(title="Lost")])
    grow(store, 3)
    for one in (store, other):
        one.continuity.refresh()
        assert one.movie(MOVIE).version == 2
    cut(store_url, shared)
    (receipt,) = commit(store, [update(title="Kept")])
    assert isinstance(receipt, CommandResult)
    assert receipt.aggregate.version == 2
    after = store.identity()
    assert after.log == before.log
    assert after.epochs[-1][1:] == (1, shared)
    assert after.shared_with(ClaimedLog(before.log, 1), store.head()) == shared
    other.continuity.refresh()
    assert other.identity() == after
    assert other.movie(MOVIE).details.title == "Kept"
    other.close()


def test_lost_end_is_noticed_after_new_events(store, store_url):
    """The shared position is at most that of the last common mark."""
    commit(store, [register(ANN)])
    for _ in range(12):
        grow(store)
        store.continuity.refresh()
    marks = [mark.position for mark in store.continuity.marks]
    shared = marks[-4]
    cut(store_url, shared + 1 if shared + 1 < marks[-3] else shared)
    stranger = Store.open(store_url)
    grow(stranger, 20)
    stranger.close()
    store.continuity.refresh()
    assert store.identity().epochs[-1].shared == shared


def test_only_one_of_two_begins_the_new_epoch(store, store_url):
    other = Store.open(store_url)
    head = grow(store)
    grow(store)
    for one in (store, other):
        one.continuity.refresh()
    cut(store_url, head)
    threads = [threading.Thread(target=one.continuity.refresh) for one in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.identity().epochs) == 2
    assert store.identity() == other.identity()
    other.close()


def test_another_log_takes_no_writes(store, store_url):
    """Writes succeed again when the known log is back."""
    grow(store)
    store.continuity.refresh()
    known = store.identity()
    other = LogIdentity.new()
    with store.writer_lock():
        store.write_identity(other)
    store.continuity.refresh()
    assert store.continuity.replaced
    (answer,) = commit(store, [create()])
    assert isinstance(answer, EventStoreUnavailableError)
    store._recorder.replace_epochs([(known.log, *epoch) for epoch in known.epochs])
    store.continuity.refresh()
    assert not store.continuity.replaced
    (answer,) = commit(store, [create()])
    assert isinstance(answer, CommandResult)


def test_last_shared_position_of_a_cut_log_is_exact(store, store_url):
    for _ in range(40):
        grow(store)
        store.continuity.refresh()
    marks = store.continuity.marks
    for position in range(40, 0, -3):
        cut(store_url, position)
        assert last_shared_position(store, marks) == store.head()
