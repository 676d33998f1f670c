"""Personal tokens of an account: how many, how long, who creates and revokes them."""

from datetime import timedelta

import pytest

from commands.aggregates.personal_tokens import MAX_TOKENS
from commands.aggregates.user import User
from commands.errors import (
    AccountClosedError,
    InvalidError,
    NotFoundError,
    TokenNotValidError,
)
from commands.execution.group_commit import CommandResult, commit
from commands.rfc3339 import rfc3339
from tests.commands.given import given, happened, user_registered
from tests.controls import (
    ANN,
    NOON,
    TOKEN,
    create_token,
    new_id,
    register,
    revoke_token,
)

SID = "1.a"
OPENED = happened(User.SessionOpened, sid=SID)
ENDED = happened(User.SessionsEnded, sid=SID)
NEW_PASSWORD = happened(User.PasswordChanged, sid=SID, password_hash="$argon2id$new")
RESET = happened(User.PasswordReset, by="", password_hash="$argon2id$new")
CLOSED = happened(User.AccountClosed, by="")
FACTS = {"name": "backup", "scope": "read", "expires_at": rfc3339(NOON + timedelta(days=90))}


def created(token_id=TOKEN, **facts):
    facts = {"sid": SID, "token_id": str(token_id), "digest": "d"} | FACTS | facts
    return happened(User.PersonalTokenCreated, **facts)


REVOKED = happened(User.PersonalTokenRevoked, sid=SID, token_id=str(TOKEN), **FACTS)


def valid(scenario, at=NOON):
    return list(scenario.aggregate.valid_tokens(at))


def test_a_token_is_created_once():
    made = given(user_registered(), OPENED).when(create_token(SID, at=NOON))
    made.then(User.PersonalTokenCreated, sid=SID, token_id=str(TOKEN), digest="d", **FACTS)
    assert valid(made) == [str(TOKEN)]
    given(user_registered(), OPENED, created()).when(create_token(SID)).then_nothing()


def test_a_token_is_valid_until_its_end():
    account = given(user_registered(), created())
    end = NOON + timedelta(days=90)
    assert valid(account, end - timedelta(microseconds=1)) == [str(TOKEN)]
    assert valid(account, end) == []


def test_a_token_is_revoked_once():
    account = (user_registered(), OPENED, created())
    revoked = given(*account).when(revoke_token(SID, at=NOON))
    revoked.then(User.PersonalTokenRevoked, sid=SID, token_id=str(TOKEN), **FACTS)
    assert valid(revoked) == []
    given(*account, REVOKED).when(revoke_token(SID, at=NOON)).then_refused(NotFoundError)


def test_an_expired_or_unknown_token_cannot_be_revoked():
    account = given(user_registered(), created())
    account.when(revoke_token(at=NOON + timedelta(days=90))).then_refused(NotFoundError)
    account = given(user_registered(), created())
    account.when(revoke_token(token_id=new_id(), at=NOON)).then_refused(NotFoundError)


@pytest.mark.parametrize("command", [create_token(SID, new_id()), revoke_token(SID)])
def test_an_ended_session_neither_creates_nor_revokes(command):
    account = given(user_registered(), OPENED, created(), ENDED)
    assert valid(account.when(command).then_refused(TokenNotValidError)) == [str(TOKEN)]


@pytest.mark.parametrize("event", [ENDED, NEW_PASSWORD, RESET])
def test_new_passwords_and_signing_out_leave_tokens_valid(event):
    assert valid(given(user_registered(), OPENED, created(), event)) == [str(TOKEN)]


def test_tokens_end_with_their_account():
    account = given(user_registered(), created(), CLOSED)
    assert valid(account) == []
    account.when(create_token(token_id=new_id())).then_refused(AccountClosedError)
    given(user_registered(), created(), CLOSED).when(revoke_token(at=NOON)).then_refused(
        NotFoundError
    )


def test_the_number_of_valid_tokens_is_bounded():
    """Expired and revoked ones do not count."""
    most = [created(new_id()) for _ in range(MAX_TOKENS - 1)]
    account = (user_registered(), *most, created())
    refused = given(*account).when(create_token(token_id=new_id(), at=NOON))
    refused.then_refused(InvalidError)
    assert "at most 50" in str(refused.error)
    given(*account, REVOKED).when(create_token(token_id=new_id(), at=NOON)).then(
        User.PersonalTokenCreated
    )
    later = given(*account).when(create_token(token_id=new_id(), at=NOON + timedelta(days=90)))
    assert len(later.then(User.PersonalTokenCreated).aggregate.tokens) == 1  # none is kept


def test_tokens_are_read_from_the_log_again(store):
    """Another process finds them, and what was revoked."""
    commit(store, [register(ANN)])
    kept, gone = new_id(), new_id()
    results = [
        commit(store, [command])[0]
        for command in (
            create_token(token_id=kept, scope="write"),
            create_token(token_id=gone),
            revoke_token(token_id=gone),
        )
    ]
    assert all(isinstance(result, CommandResult) for result in results)
    store._application.clear_cache()
    (token,) = store.user(ANN).tokens.values()
    assert (token.id, token.scope, token.digest) == (str(kept), "write", "d")
