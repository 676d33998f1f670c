"""The User aggregate: which sessions end, and which event each command leaves."""

import pytest

from commands.aggregates.user import User
from commands.errors import InvalidError, NoActiveAccountError, TokenNotValidError
from commands.execution.group_commit import CommandResult, commit
from tests.commands.given import given, happened, user_registered
from tests.controls import (
    ANN,
    change_password,
    end_session,
    end_sessions,
    open_session,
    register,
    report_reuse,
)

OLD, NEW, OTHER = "$argon2id$old", "$argon2id$new", "$argon2id$other"
A, B, C = "1.a", "2.b", "3.c"
"""Session ids. Each begins with the account's version when its password was checked."""
OPENED_A, OPENED_B, OPENED_C = (happened(User.SessionOpened, sid=sid) for sid in (A, B, C))
CHANGED_FROM_A = happened(User.PasswordChanged, sid=A, password_hash=NEW)
ALL_ENDED_FROM_A = happened(User.SessionsEnded, sid=A)


def ended(session, by):
    return happened(User.SessionEnded, sid=by, ended=session)


def active(scenario, *sids):
    return [sid for sid in sids if not scenario.aggregate.has_ended(sid)]


def test_opening_a_session_twice_leaves_one_event():
    given(user_registered()).when(open_session(A)).then(User.SessionOpened, sid=A)
    given(user_registered(), OPENED_A).when(open_session(A)).then_nothing()


def test_a_session_ends_once():
    """It ends from another session or from itself; the others stay active."""
    account = (user_registered(), OPENED_A, OPENED_B, OPENED_C)
    by_other = given(*account).when(end_session(B, A)).then(User.SessionEnded, sid=B, ended=A)
    assert active(by_other, A, B, C) == [B, C]
    given(*account, ended(A, by=B)).when(end_session(B, A)).then_nothing()
    by_itself = given(*account, ended(A, by=B)).when(end_session(C))
    assert active(by_itself.then(User.SessionEnded, sid=C, ended=C), A, B, C) == [B]


def test_all_sessions_end():
    """Sessions that are opened afterwards are active."""
    account = (user_registered(), OPENED_A, OPENED_B, ended(B, by=A))
    everywhere = given(*account).when(end_sessions(A)).then(User.SessionsEnded, sid=A)
    assert active(everywhere, A, B) == []
    later = given(*account, ALL_ENDED_FROM_A).when(open_session("5.c"))
    assert active(later.then(User.SessionOpened), A, B, "5.c") == ["5.c"]


def test_new_password_keeps_the_acting_session():
    account = (user_registered(), OPENED_A, OPENED_B)
    changed = given(*account).when(change_password(A, NEW))
    changed.then(User.PasswordChanged, sid=A, password_hash=NEW)
    assert active(changed, A, B) == [A]
    later = (*account, CHANGED_FROM_A, happened(User.SessionOpened, sid="4.c"))
    assert active(given(*later), A, B, "4.c") == [A, "4.c"]
    again = given(*later).when(change_password("4.c", OTHER, password_version=4))
    assert active(again.then(User.PasswordChanged), A, B, "4.c") == ["4.c"]


def test_a_kept_session_can_be_ended():
    account = (user_registered(), OPENED_A, OPENED_B, CHANGED_FROM_A)
    assert active(given(*account).when(end_session(A)).then(User.SessionEnded), A, B) == []
    from_later = given(*account, happened(User.SessionOpened, sid="4.c")).when(end_sessions("4.c"))
    assert active(from_later.then(User.SessionsEnded), A, B, "4.c") == []


@pytest.mark.parametrize("command", [change_password(A), end_session(A, B), end_sessions(A)])
def test_ended_session_changes_nothing(command):
    account = given(user_registered(), OPENED_A, OPENED_B, ended(A, by=B))
    assert active(account.when(command).then_refused(TokenNotValidError), A, B) == [B]


def test_ended_session_is_never_kept():
    """It stays ended when the list of ended sessions starts anew."""
    account = (user_registered(), OPENED_A, OPENED_B, ended(A, by=A))
    account = given(*account, happened(User.SessionsEnded, sid=B)).when(change_password(A))
    assert active(account.then_refused(TokenNotValidError), A, B) == []


@pytest.mark.parametrize("event", [CHANGED_FROM_A, ALL_ENDED_FROM_A])
def test_concurrent_log_in_with_the_old_password(event):
    """Its password was correct when it was checked, and has changed since."""
    late = given(user_registered(), OPENED_A, event).when(open_session("2.late"))
    late.then_refused(NoActiveAccountError)


def test_two_concurrent_password_changes():
    """The first one wins: the second gave a password that is no longer the old one."""
    changed = (user_registered(), OPENED_A, CHANGED_FROM_A)
    given(*changed).when(change_password(A, OTHER)).then_refused(InvalidError)
    given(*changed).when(change_password(A, NEW)).then_nothing()


def test_a_rehash_ends_no_session():
    """It is dropped after a new password."""
    user = given(user_registered(), OPENED_A, OPENED_B).aggregate
    metadata = open_session(C).metadata()
    user.rehash_password(1, OTHER, metadata)
    user.rehash_password(1, OTHER, metadata)
    (event,) = user.collect_events()
    assert (type(event), event.password_hash) == (User.PasswordRehashed, OTHER)
    assert not user.has_ended(A)
    assert not user.has_ended(B)
    changed = given(user_registered(), OPENED_A, CHANGED_FROM_A).aggregate
    changed.rehash_password(1, OTHER, metadata)
    assert not changed.collect_events()


def test_reused_token_ends_its_session_once():
    account = (user_registered(), OPENED_A, OPENED_B)
    reused = given(*account).when(report_reuse(A)).then(User.RefreshTokenReused, sid=A)
    assert active(reused, A, B) == [B]
    again = given(*account, happened(User.RefreshTokenReused, sid=A)).when(report_reuse(A))
    again.then_nothing()


@pytest.mark.parametrize("sid", ["s-1", "", "x.1", "-1.x", "٣.x"])
def test_malformed_session_id_counts_as_the_oldest(sid):
    account = (user_registered(), OPENED_A)
    assert not given(*account).aggregate.has_ended(sid)
    assert given(*account, ALL_ENDED_FROM_A).aggregate.has_ended(sid)


@pytest.mark.parametrize(
    "command", [open_session(A), change_password(A), end_session(A), end_sessions(A)]
)
def test_an_unknown_account_is_refused(command):
    """The log does not have it."""
    given().when(command).then_refused(TokenNotValidError)


def test_commands_append_to_the_accounts_stream(store):
    """All of them, from opening a session to the last end, as the service sends them."""
    account = commit(store, [register(ANN)])[0].aggregate
    first, second, third = (f"{account.version}.{name}" for name in "abc")
    *results, last = commit(
        store,
        [
            *(open_session(sid) for sid in (first, second, third)),
            end_session(first, second),
            report_reuse(third),
            change_password(first, NEW),
            end_sessions(first),
            open_session("7.d", password_version=7, renewed_hash=OTHER),
        ],
    )
    assert all(isinstance(result, CommandResult) for result in results)
    assert isinstance(last, NoActiveAccountError)
    (result,) = commit(store, [open_session("8.e", password_version=7, renewed_hash=OTHER)])
    assert result.aggregate.password_hash == OTHER
    assert [event.type for event in store.read_stream(ANN)] == [
        "UserRegistered",
        *["SessionOpened"] * 3,
        "SessionEnded",
        "RefreshTokenReused",
        "PasswordChanged",
        "SessionsEnded",
        "SessionOpened",
        "PasswordRehashed",
    ]
    assert store.user(ANN).has_ended(first)
