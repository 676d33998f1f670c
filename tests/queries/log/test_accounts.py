"""Lists of accounts and operators, read from the log."""

import pytest

from commands.errors import NotFoundError
from commands.execution.group_commit import commit
from queries.log import accounts
from queries.log.accounts import AccountList, account_named, all_accounts, all_operators
from tests.controls import close_account, create, grant_operator, new_id, register, revoke_operator

NAMES = ["ann", "bob", "carla", "dora", "emil"]


@pytest.fixture
def ids(store):
    """Five accounts between movies; bob and dora are operators, emil was one, carla is closed."""
    ids = {name: new_id() for name in NAMES}
    for name, account in ids.items():
        commit(store, [register(account, username=name), create(by=account)])
    for name in ("dora", "bob", "emil", "carla"):
        commit(store, [grant_operator(ids[name])])
    commit(store, [revoke_operator(ids["emil"]), close_account(ids["carla"])])
    commit(store, [revoke_operator(ids["bob"])])
    commit(store, [grant_operator(ids["bob"])])
    return ids


@pytest.fixture(params=[3, 10_000], autouse=True)
def step(request, monkeypatch):
    """How many positions one read looks through."""
    monkeypatch.setattr(accounts, "_STEP", request.param)


def test_all_accounts_are_listed_in_the_order_of_registration(store, ids):
    listed = list(all_accounts(store))
    assert [one.username for one in listed] == NAMES
    assert [one.id for one in listed] == [str(one) for one in ids.values()]
    assert [one.username for one in listed if one.operator] == ["bob", "dora"]
    assert [one.username for one in listed if one.closed] == ["carla"]
    assert sorted(one.created_at for one in listed) == [one.created_at for one in listed]


def test_operators_are_listed_in_the_order_of_their_first_grant(store, ids):
    assert [one.username for one in all_operators(store)] == ["dora", "bob"]


def test_an_account_is_found_by_its_name_in_any_case(store, ids):
    found = account_named(store, "DORA")
    assert (found.username, found.id, found.operator) == ("dora", str(ids["dora"]), True)
    assert account_named(store, "nobody") is None


def test_pages_of_accounts(store, ids):
    listing = AccountList(store)
    first, last = listing.page(1, 2), listing.page(None, 2)
    assert [one.username for one in first.items] == NAMES[:2]
    assert [one.username for one in last.items] == NAMES[4:]
    assert (first.count, last.page, last.last_page) == (5, 3, 3)
    with pytest.raises(NotFoundError):
        listing.page(4, 2)
    commit(store, [register(username="fred"), close_account(ids["ann"])])
    assert [one.username for one in listing.page(3, 2).items] == ["emil", "fred"]
    assert listing.page(1, 1).items[0].closed


def test_an_empty_log_has_one_empty_page(store):
    page = AccountList(store).page(1, 10)
    assert (page.count, page.items, page.last_page) == (0, [], 1)
    assert list(all_accounts(store)) == []
