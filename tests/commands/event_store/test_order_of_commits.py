"""The order of the log is the order of commits: also at a replica, what is seen is a prefix."""

import threading
import time

import pytest

from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import create

pytestmark = pytest.mark.xdist_group("replica")  # modules that share two servers
WRITERS, WRITING_S = 3, 1.5


def test_no_event_appears_before_an_earlier_one(replicated):
    """A follower that has read a position has missed nothing before it."""
    url, replica_url = replicated.new_database()
    stores = [Store.open(url) for _ in range(WRITERS)]
    replica = Store.open(replica_url, create=False)
    until = time.monotonic() + WRITING_S

    def write(store):
        while time.monotonic() < until:
            commit(store, [create() for _ in range(3)])

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append([event.position for event in replica.read(0, 100_000)])
        time.sleep(0.01)
    replicated.wait_until_replayed()
    log = [event.position for event in replica.read(0, 100_000)]
    assert len({len(positions) for positions in seen}) > 3  # it was read while it grew
    assert all(positions == log[: len(positions)] for positions in seen)
    assert len(log) == stores[0].count()
    for store in (*stores, replica):
        store.close()
