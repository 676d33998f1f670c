"""Sessions: a refresh token is valid for one use, and reuse ends the session."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
import redis
import structlog

from commands.errors import ReadModelUnavailableError, TokenNotValidError
from service.auth import sessions as module
from service.auth.sessions import Sessions
from service.auth.tokens import RefreshToken
from tests.service.auth.auth_controls import running_redis

ACCOUNT = uuid4()


@pytest.fixture
def sessions(auth_redis, auth_settings):
    return Sessions(auth_redis, auth_settings)


@pytest.fixture
def first(sessions):
    """The first token of an open session."""
    token = RefreshToken(ACCOUNT, "s-1", "j-1")
    sessions.open(token)
    return token


def token(jti, *, sid="s-1", account=ACCOUNT):
    return RefreshToken(account, sid, jti)


def refused(sessions, used, successor="never"):
    with pytest.raises(TokenNotValidError):
        sessions.rotate(used, successor, b"never")
    return True


def end_grace(auth_redis, sid="s-1"):
    auth_redis.delete(f"auth:session:{{{sid}}}:successor")


def test_a_token_is_exchanged_for_the_next(sessions, first):
    assert sessions.rotate(first, "j-2", b"answer 2") == b"answer 2"
    assert sessions.rotate(token("j-2"), "j-3", b"answer 3") == b"answer 3"


def test_a_repeated_rotation_within_the_grace_gets_the_same_answer(sessions, first):
    sessions.rotate(first, "j-2", b"answer 2")
    assert sessions.rotate(first, "j-x", b"another") == b"answer 2"
    assert sessions.rotate(first, "j-y", b"another") == b"answer 2"
    assert sessions.rotate(token("j-2"), "j-3", b"answer 3") == b"answer 3"


def test_the_grace_is_ten_seconds(sessions, first, auth_redis):
    sessions.rotate(first, "j-2", b"answer 2")
    assert 9 < auth_redis.pttl("auth:session:{s-1}:successor") / 1000 <= 10


def test_reuse_of_a_token_ends_the_session(sessions, first, auth_redis):
    """A thief cannot be told from the owner, so both are refused."""
    sessions.rotate(first, "j-2", b"answer 2")
    end_grace(auth_redis)
    with structlog.testing.capture_logs() as logs:
        assert refused(sessions, first)
    assert [(line["event"], line["sid"]) for line in logs] == [("refresh token used twice", "s-1")]
    assert refused(sessions, token("j-2"))
    assert auth_redis.keys("auth:*") == []


def test_reuse_after_the_grace_ends_the_session(sessions, first, monkeypatch):
    monkeypatch.setattr(module, "GRACE_S", 1)
    sessions.rotate(first, "j-2", b"answer 2")
    time.sleep(1.05)
    assert refused(sessions, first)
    assert refused(sessions, token("j-2"))


def test_a_token_older_than_the_last_one_ends_the_session_at_once(sessions, first):
    """The grace covers one lost answer only."""
    sessions.rotate(first, "j-2", b"answer 2")
    sessions.rotate(token("j-2"), "j-3", b"answer 3")
    assert refused(sessions, first)
    assert refused(sessions, token("j-3"))


def test_reuse_leaves_other_sessions_valid(sessions, first, auth_redis):
    other = token("k-1", sid="s-2")
    sessions.open(other)
    sessions.rotate(first, "j-2", b"answer 2")
    end_grace(auth_redis)
    assert refused(sessions, first)
    assert sessions.rotate(other, "k-2", b"answer") == b"answer"


def test_an_unknown_session_is_refused(sessions, first, auth_redis):
    """The session has ended or expired, or Redis has lost it."""
    assert refused(sessions, token("j-1", sid="s-9"))
    auth_redis.flushall()
    assert refused(sessions, first)
    assert auth_redis.keys("auth:*") == []


def test_a_session_belongs_to_one_account(sessions, first):
    assert refused(sessions, token("j-1", account=uuid4()))
    assert sessions.rotate(first, "j-2", b"answer") == b"answer"


def test_an_ended_session_is_refused(sessions, first, auth_redis):
    sessions.rotate(first, "j-2", b"answer")
    sessions.end(ACCOUNT, "s-1")
    assert refused(sessions, first)
    assert refused(sessions, token("j-2"))
    assert auth_redis.keys("auth:*") == []
    sessions.end(ACCOUNT, "s-1")


def test_concurrent_rotations_get_the_same_answer(sessions, first):
    """Rotation is atomic in Redis."""
    start = Barrier(16)

    def rotate(number):
        start.wait()
        return sessions.rotate(first, f"n-{number}", f"answer {number}".encode())

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(rotate, range(16)))
    assert len(answers) == 1
    winner = answers.pop().decode().split()[1]
    assert sessions.rotate(token(f"n-{winner}"), "last", b"last") == b"last"


def test_checking_a_token_does_not_use_it(sessions, first, auth_redis):
    assert sessions.holds(first)
    sessions.rotate(first, "j-2", b"answer")
    assert sessions.holds(token("j-2"))
    assert sessions.holds(first)  # it is within the grace
    end_grace(auth_redis)
    assert not sessions.holds(first)
    assert not sessions.holds(token("j-9"))
    assert not sessions.holds(token("j-2", account=uuid4()))
    assert not sessions.holds(token("j-2", sid="s-9"))
    assert sessions.holds(token("j-2"))


def test_every_key_expires(sessions, first, auth_redis, auth_settings):
    """Each refresh extends the expiry."""
    sessions.rotate(first, "j-2", b"answer")
    listing, session = f"auth:account:{ACCOUNT}", "auth:session:{s-1}"
    for key in (listing, session):
        auth_redis.expire(key, 100)
    sessions.rotate(token("j-2"), "j-3", b"answer")
    for key in (listing, session):
        assert 100 < auth_redis.ttl(key) <= auth_settings.refresh_ttl_s
    assert all(auth_redis.ttl(key) > 0 for key in auth_redis.keys("*"))


def test_only_live_sessions_of_an_account_are_listed(sessions, first, auth_redis):
    listing = f"auth:account:{ACCOUNT}"
    auth_redis.zadd(listing, {"expired": time.time() - 1})
    sessions.open(token("k-1", sid="s-2"))
    assert set(auth_redis.zrange(listing, 0, -1)) == {b"s-1", b"s-2"}
    sessions.end(ACCOUNT, "s-1")
    assert auth_redis.zrange(listing, 0, -1) == [b"s-2"]


def test_scripts_are_reloaded_after_a_flush(sessions, first, auth_redis):
    auth_redis.script_flush()
    assert sessions.holds(first)
    auth_redis.script_flush()
    assert sessions.rotate(first, "j-2", b"answer") == b"answer"


def test_without_redis_no_token_is_valid_or_invalid(auth_settings):
    with running_redis() as (server, url):
        client = redis.Redis.from_url(url, retry=None)
        sessions = Sessions(client, auth_settings)
        first = token("j-1")
        sessions.open(first)
        server.terminate()
        server.wait(10)
        for call in (
            lambda: sessions.open(first),
            lambda: sessions.rotate(first, "j-2", b"answer"),
            lambda: sessions.holds(first),
            lambda: sessions.end(ACCOUNT, "s-1"),
        ):
            with pytest.raises(ReadModelUnavailableError):
                call()
        client.close()
