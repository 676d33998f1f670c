"""A commit that takes long is noticed while it lasts."""

import threading

import pytest

from commands.database import commit_watch
from commands.database.commit_watch import CommitWatch
from commands.errors import EventStoreUnavailableError
from tests.running import eventually


def test_a_hanging_commit_is_noticed_until_it_ends(monkeypatch):
    """Short commits of other threads do not hide it."""
    monkeypatch.setattr(commit_watch, "HANGS_S", 0.02)
    watch, ended = CommitWatch(), threading.Event()

    def hang():
        with watch.watching():
            ended.wait()

    thread = threading.Thread(target=hang)
    thread.start()
    eventually(lambda: hangs(watch))
    with watch.watching():
        pass
    with pytest.raises(EventStoreUnavailableError):
        watch.check()
    ended.set()
    thread.join()
    watch.check()


def hangs(watch):
    try:
        watch.check()
    except EventStoreUnavailableError:
        return True
    return False
