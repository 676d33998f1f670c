"""Operators and what they do to accounts: roles, password links, new passwords, closings."""

from datetime import timedelta

import pytest

from commands.aggregates.user import User
from commands.errors import (
    AccountClosedError,
    InvalidError,
    NoActiveAccountError,
    NotOperatorError,
    TokenNotValidError,
)
from commands.execution.group_commit import CommandResult, commit
from tests.commands.given import given, happened, user_registered
from tests.controls import (
    ANN,
    BOB,
    NOON,
    change_password,
    close_account,
    grant_operator,
    issue_link,
    open_session,
    register,
    reset_password,
    revoke_operator,
)

A, DIGEST, NEW = "1.a", "digest-1", "$argon2id$new"
OPENED = happened(User.SessionOpened, sid=A)
GRANTED = happened(User.OperatorGranted, by="")
CLOSED = happened(User.AccountClosed, by="")
LINKED = happened(User.PasswordLinkIssued, by="", digest=DIGEST)
HOUR = timedelta(hours=1)


def test_the_role_is_granted_and_revoked_once():
    given(user_registered()).when(grant_operator()).then(User.OperatorGranted, by="")
    granted = (user_registered(), GRANTED)
    given(*granted).when(grant_operator()).then_nothing()
    revoked = given(*granted).when(revoke_operator()).then(User.OperatorRevoked, by="")
    assert not revoked.aggregate.operator
    given(user_registered()).when(revoke_operator()).then_nothing()


def test_closing_ends_sessions_role_and_link_once():
    account = (user_registered(), OPENED, GRANTED, LINKED)
    closed = given(*account).when(close_account()).then(User.AccountClosed, by="")
    assert closed.aggregate.has_ended(A)
    assert not closed.aggregate.operator
    assert closed.aggregate.password_link is None
    given(*account, CLOSED).when(close_account()).then_nothing()


@pytest.mark.parametrize("command", [grant_operator(), issue_link(), reset_password()])
def test_a_closed_account_stays_as_it_is(command):
    given(user_registered(), CLOSED).when(command).then_refused(AccountClosedError)


def test_a_closed_account_opens_no_session():
    """Not even where the password was checked after the closing."""
    account = given(user_registered(), CLOSED)
    account.when(open_session("2.late")).then_refused(NoActiveAccountError)


def test_a_new_password_by_an_operator_ends_all_sessions():
    reset = given(user_registered(), OPENED).when(reset_password(NEW))
    assert reset.then(User.PasswordReset, by="", password_hash=NEW).aggregate.has_ended(A)


def test_a_link_sets_one_password():
    account = (user_registered(), LINKED)
    given(*account).when(reset_password(NEW, link=DIGEST, at=NOON)).then(User.PasswordReset, by="")
    used = (*account, happened(User.PasswordReset, by="", password_hash=NEW))
    again = given(*used).when(reset_password("$argon2id$other", link=DIGEST, at=NOON))
    assert again.then_refused(InvalidError).error.errors.keys() == {"token"}


def test_a_link_is_good_for_an_hour():
    account = given(user_registered(), LINKED)
    in_time = reset_password(link=DIGEST, at=NOON + HOUR - timedelta(microseconds=1))
    account.when(in_time).then(User.PasswordReset)
    late = reset_password(link=DIGEST, at=NOON + HOUR)
    given(user_registered(), LINKED).when(late).then_refused(InvalidError)


@pytest.mark.parametrize(
    "event",
    [
        happened(User.PasswordLinkIssued, by="", digest="digest-2"),
        happened(User.PasswordChanged, sid=A, password_hash="$argon2id$x"),
        happened(User.PasswordReset, by="", password_hash="$argon2id$x"),
    ],
    ids=["a newer link", "a changed password", "a new password"],
)
def test_a_link_ends_with(event):
    account = given(user_registered(), OPENED, LINKED, event)
    account.when(reset_password(link=DIGEST, at=NOON)).then_refused(InvalidError)


@pytest.mark.parametrize("digest", ["", "digest-2"])
def test_no_other_token_passes(digest):
    for events in ((user_registered(),), (user_registered(), LINKED)):
        command = reset_password(link=digest, at=NOON)
        given(*events).when(command).then_refused(InvalidError)


@pytest.mark.parametrize(
    "command",
    [grant_operator(), revoke_operator(), issue_link(), reset_password(), close_account()],
)
def test_an_unknown_account_is_refused(command):
    given().when(command).then_refused(TokenNotValidError)


COMMANDS = [
    lambda operator: grant_operator(operator=operator),
    lambda operator: issue_link(operator=operator),
    lambda operator: reset_password(operator=operator),
    lambda operator: revoke_operator(operator=operator),
    lambda operator: close_account(operator=operator),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_only_an_operator_acts_on_another_account(sqlite_store, command):
    """The role is that of the log at the moment of the decision."""
    store = sqlite_store
    commit(store, [register(ANN), register(BOB, username="bob")])
    refused = [*commit(store, [command(BOB)])]
    commit(store, [grant_operator(BOB), revoke_operator(BOB)])
    refused += commit(store, [command(BOB)])
    assert [type(error) for error in refused] == [NotOperatorError] * 2
    commit(store, [grant_operator(BOB)])
    (result,) = commit(store, [command(BOB)])
    assert isinstance(result, CommandResult)
    last = store.read_stream(ANN)[-1]
    assert not result.appended or last.data["by"] == str(BOB)


def test_a_retry_of_a_reset_finds_it_done(sqlite_store):
    """The connection broke in the first commit, which happened."""
    store = sqlite_store
    commit(store, [register(ANN)])
    (issued,) = commit(store, [issue_link()])
    command = reset_password(NEW, link=DIGEST, at=issued.aggregate.modified_on)
    assert [one.appended for one in commit(store, [command])] == [True]
    assert [one.appended for one in commit(store, [command], is_retry=True)] == [False]


def test_a_password_change_after_closing_is_refused():
    account = given(user_registered(), OPENED, CLOSED)
    account.when(change_password(A)).then_refused(TokenNotValidError)
