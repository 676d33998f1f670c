"""Closed accounts: each process finds them by following the log."""

import pytest

from commands.errors import TokenNotValidError
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, BOB, close_account, create, register


@pytest.fixture
def elsewhere(store, store_url):
    """The same log in another process."""
    other = Store.open(store_url)
    yield other
    other.close()


def test_an_account_closed_elsewhere_is_refused_after_the_next_poll(store, elsewhere):
    commit(store, [register(ANN), register(BOB, username="bob")])
    store.accounts.follow()
    store.check_account(ANN)
    store.check_account(BOB)
    commit(elsewhere, [close_account(), *(create(by=BOB) for _ in range(3))])
    assert store.accounts.knows(ANN)
    store.accounts.follow()
    assert (store.accounts.knows(ANN), store.accounts.has_closed(ANN)) == (False, True)
    with pytest.raises(TokenNotValidError):
        store.check_account(ANN)
    store.check_account(BOB)


def test_an_account_closed_here_is_refused_at_once(sqlite_store):
    commit(sqlite_store, [register(ANN)])
    sqlite_store.check_account(ANN)
    commit(sqlite_store, [close_account()])
    with pytest.raises(TokenNotValidError):
        sqlite_store.check_account(ANN)


def test_an_account_closed_before_is_refused(store, elsewhere):
    commit(elsewhere, [register(ANN)])
    commit(elsewhere, [close_account()])
    store.accounts.follow()
    with pytest.raises(TokenNotValidError):
        store.check_account(ANN)


def test_a_look_up_that_began_before_the_first_poll_is_not_remembered(sqlite_store):
    """The account may have been closed between its look-up and that poll."""
    revision = sqlite_store.accounts.revision
    sqlite_store.accounts.follow()
    sqlite_store.accounts.add(ANN, revision)
    assert not sqlite_store.accounts.knows(ANN)


def test_a_look_up_does_not_outlive_a_closing(sqlite_store):
    accounts = sqlite_store.accounts
    revision = accounts.revision
    accounts.close(ANN)
    accounts.add(ANN, revision)
    assert not accounts.knows(ANN)


def test_another_log_is_followed_from_its_own_end(sqlite_store):
    commit(sqlite_store, [register(ANN), close_account()])
    sqlite_store.accounts.follow()
    sqlite_store.accounts.forget()
    assert not sqlite_store.accounts.has_closed(ANN)
    sqlite_store.accounts.follow()
    assert not sqlite_store.accounts.has_closed(ANN)
