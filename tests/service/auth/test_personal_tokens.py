"""Personal tokens as a process checks them: their form, their cache, an event store that is away."""

import asyncio
import re
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from commands.errors import EventStoreUnavailableError, TokenNotValidError
from commands.execution.group_commit import CommandResult, commit
from service.auth import personal_tokens
from service.auth.personal_tokens import (
    CACHED_TOKENS,
    PREFIX,
    PersonalTokens,
    new_token,
    parse_token,
)
from service.thread_pool import Pool
from tests.controls import ANN, BOB, create_token, new_id, register, revoke_token

RECHECK_S = 0.05


class AwayStore:
    """Reads from a store, unless it is away; counts the reads."""

    def __init__(self, store):
        self._store, self.is_away, self.hangs_s, self.reads = store, False, 0.0, 0

    def get(self, kind, stream_id):
        self.reads += 1
        time.sleep(self.hangs_s)
        if self.is_away:
            raise EventStoreUnavailableError
        return self._store.get(kind, stream_id)


@pytest.fixture
def log(sqlite_store):
    long_ago = datetime.now(UTC) - timedelta(days=2)
    carry_out(sqlite_store, register(ANN).model_copy(update={"at": long_ago}))
    return AwayStore(sqlite_store)


@pytest.fixture
def tokens(log):
    with closing(Pool("log", threads=2, waiting=10)) as threads:
        yield PersonalTokens(log, threads, recheck_s=RECHECK_S)


def carry_out(store, command):
    (result,) = commit(store, [command])
    assert isinstance(result, CommandResult), result


def issued(store, *, by=ANN, **facts):
    """Create a token; return it as it is sent, and parsed."""
    token_id = new_id()
    token = new_token(by, token_id)
    carry_out(store, create_token(token_id=token_id, by=by, digest=token.digest, **facts))
    return token.text, parse_token(token.text)


def test_a_token_names_account_and_token():
    token_id = new_id()
    token = new_token(ANN, token_id)
    assert re.fullmatch(r"cinelog_[A-Za-z0-9_-]{88}", token.text)
    given = parse_token(token.text)
    assert (given.account_id, given.token_id, given.digest) == (ANN, str(token_id), token.digest)


def test_no_two_tokens_and_no_two_texts_are_the_same():
    """Every character counts: no other text is the same token."""
    token = new_token(ANN, BOB)
    assert new_token(ANN, BOB).text != token.text
    for at in range(len(PREFIX), len(token.text)):
        other = "A" if token.text[at] != "A" else "B"
        assert parse_token(f"{token.text[:at]}{other}{token.text[at + 1 :]}") != parse_token(
            token.text
        )


def test_a_new_token_is_not_printed():
    token = new_token(ANN, BOB)
    assert token.text not in repr(token)


@pytest.mark.parametrize(
    "text",
    ["", "x", PREFIX, f"{PREFIX}{'A' * 87}", f"{PREFIX}{'A' * 89}", f"{PREFIX}{'=' * 88}",
     f"{PREFIX}{'ä' * 88}", f"{PREFIX}{'A' * 88}\n", f"Cinelog_{'A' * 88}", "eyJ.eyJ.x"],
)  # fmt: skip
def test_other_texts_are_no_tokens(text):
    assert parse_token(text) is None


async def test_a_valid_token_names_its_caller(log, sqlite_store, tokens):
    _, given = issued(sqlite_store, scope="write", days=30)
    caller = await tokens.check(given)
    assert (caller.account_id, caller.username, caller.sid) == (ANN, "ann", "")
    assert caller.scope == "write"
    assert abs(caller.expires_at - time.time() - 30 * 86_400) < 30


async def test_unknown_foreign_and_wrong_tokens_are_refused(log, sqlite_store, tokens):
    text, given = issued(sqlite_store)
    carry_out(sqlite_store, register(BOB, username="bob"))
    wrong_secret = new_token(ANN, UUID(given.token_id))
    others = [
        wrong_secret.text,
        new_token(ANN, new_id()).text,
        new_token(new_id(), UUID(given.token_id)).text,
        new_token(BOB, UUID(given.token_id)).text,
    ]
    for known in (False, True):
        for other in others:
            assert tokens.known(parse_token(other)) is None
            with pytest.raises(TokenNotValidError):
                await tokens.check(parse_token(other))
        if not known:
            await tokens.check(parse_token(text))
    assert tokens.known(given) is not None  # a wrong secret does not make it forgotten


async def test_expired_tokens_are_refused(log, sqlite_store, tokens):
    before = datetime.now(UTC) - timedelta(days=1)
    _, soon = issued(sqlite_store, days=1, at=before + timedelta(seconds=0.5))
    assert await tokens.check(soon)
    await asyncio.sleep(0.6)
    with pytest.raises(TokenNotValidError):
        await tokens.check(soon)
    with pytest.raises(TokenNotValidError):
        await tokens.check(soon)


async def test_a_checked_token_is_read_again_after_a_moment(log, sqlite_store, tokens):
    _, given = issued(sqlite_store)
    for _ in range(10):
        await tokens.check(given)
    assert log.reads == 1
    await asyncio.sleep(RECHECK_S)
    for _ in range(10):
        await tokens.check(given)
    assert log.reads == 2


async def test_a_revocation_elsewhere_is_found(log, sqlite_store, tokens):
    """No more than the interval passes, without a word from the process that revokes."""
    _, given = issued(sqlite_store)
    await tokens.check(given)
    carry_out(sqlite_store, revoke_token(token_id=given.token_id))
    assert await tokens.check(given)
    await asyncio.sleep(RECHECK_S)
    for _ in range(2):
        with pytest.raises(TokenNotValidError):
            await tokens.check(given)


async def test_a_forgotten_token_is_read_at_once(log, sqlite_store, tokens):
    _, given = issued(sqlite_store)
    await tokens.check(given)
    carry_out(sqlite_store, revoke_token(token_id=given.token_id))
    tokens.forget(given.token_id)
    with pytest.raises(TokenNotValidError):
        await tokens.check(given)


async def test_known_tokens_survive_an_outage_for_a_while(log, sqlite_store, tokens, monkeypatch):
    """The bound is that of an access token; unknown ones cannot be checked."""
    _, given = issued(sqlite_store)
    _, unknown = issued(sqlite_store)
    await tokens.check(given)
    log.is_away = True
    await asyncio.sleep(RECHECK_S)
    assert await tokens.check(given)
    with pytest.raises(EventStoreUnavailableError):
        await tokens.check(unknown)
    monkeypatch.setattr(personal_tokens, "OUTAGE_S", 0.0)
    await asyncio.sleep(RECHECK_S)
    with pytest.raises(EventStoreUnavailableError):
        await tokens.check(given)
    log.is_away = False
    assert await tokens.check(given)


async def test_a_store_that_hangs_delays_no_check_for_long(log, sqlite_store, tokens, monkeypatch):
    _, given = issued(sqlite_store)
    await tokens.check(given)
    monkeypatch.setattr(personal_tokens, "READ_S", 0.05)
    log.hangs_s = 0.5
    await asyncio.sleep(RECHECK_S)
    began = time.monotonic()
    assert await tokens.check(given)
    assert time.monotonic() - began < 0.4


async def test_the_cache_is_bounded(log, sqlite_store, tokens):
    _, first = issued(sqlite_store)
    principal = await tokens.check(first)
    for number in range(CACHED_TOKENS):
        tokens._keep(new_token(ANN, UUID(int=number)).digest, str(UUID(int=number)), principal)
    assert len(tokens._checked) == CACHED_TOKENS
    assert tokens.known(first) is None
