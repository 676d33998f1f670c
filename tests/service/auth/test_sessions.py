"""Sessions: each refresh token for one use, and what a second use means."""

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


def grace_ends(auth_redis, sid="s-1"):
    auth_redis.delete(f"auth:session:{{{sid}}}:successor")


def test_a_token_is_exchanged_for_the_next(sessions, first):
    assert sessions.rotate(first, "j-2", b"answer 2") == b"answer 2"
    assert sessions.rotate(token("j-2"), "j-3", b"answer 3") == b"answer 3"


def test_a_lost_answer_is_given_again(sessions, first):
    """The same one, however often it is asked for within the grace."""
    sessions.rotate(first, "j-2", b"answer 2")
    assert sessions.rotate(first, "j-x", b"another") == b"answer 2"
    assert sessions.rotate(first, "j-y", b"another") == b"answer 2"
    assert sessions.rotate(token("j-2"), "j-3", b"answer 3") == b"answer 3"


def test_the_grace_is_ten_seconds(sessions, first, auth_redis):
    sessions.rotate(first, "j-2", b"answer 2")
    assert 9 < auth_redis.pttl("auth:session:{s-1}:successor") / 1000 <= 10


def test_a_used_token_ends_the_session(sessions, first, auth_redis):
    """Whoever comes second, thief or robbed: nobody can tell, so both are out."""
    sessions.rotate(first, "j-2", b"answer 2")
    grace_ends(auth_redis)
    with structlog.testing.capture_logs() as logs:
        assert refused(sessions, first)
    assert [(line["event"], line["sid"]) for line in logs] == [("refresh token used twice", "s-1")]
    assert refused(sessions, token("j-2"))
    assert auth_redis.keys("auth:*") == []


def test_the_grace_itself_runs_out(sessions, first, monkeypatch):
    monkeypatch.setattr(module, "GRACE_S", 1)
    sessions.rotate(first, "j-2", b"answer 2")
    time.sleep(1.05)
    assert refused(sessions, first)
    assert refused(sessions, token("j-2"))


def test_a_token_from_before_the_last_one_ends_the_session_at_once(sessions, first):
    """The grace is for one lost answer, not for a chain of them."""
    sessions.rotate(first, "j-2", b"answer 2")
    sessions.rotate(token("j-2"), "j-3", b"answer 3")
    assert refused(sessions, first)
    assert refused(sessions, token("j-3"))


def test_one_session_ends_and_others_live_on(sessions, first, auth_redis):
    other = token("k-1", sid="s-2")
    sessions.open(other)
    sessions.rotate(first, "j-2", b"answer 2")
    grace_ends(auth_redis)
    assert refused(sessions, first)
    assert sessions.rotate(other, "k-2", b"answer") == b"answer"


def test_an_unknown_session_is_refused(sessions, first, auth_redis):
    """It has ended, expired, or Redis was lost; no token of it comes back to life."""
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
    """Rotation is one step in Redis: there is no moment at which two pass."""
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
    assert sessions.holds(first)  # within the grace it would be answered
    grace_ends(auth_redis)
    assert not sessions.holds(first)
    assert not sessions.holds(token("j-9"))
    assert not sessions.holds(token("j-2", account=uuid4()))
    assert not sessions.holds(token("j-2", sid="s-9"))
    assert sessions.holds(token("j-2"))


def test_every_key_expires(sessions, first, auth_redis, auth_settings):
    """With the session; each refresh lengthens it."""
    sessions.rotate(first, "j-2", b"answer")
    listing, session = f"auth:account:{ACCOUNT}", "auth:session:{s-1}"
    for key in (listing, session):
        auth_redis.expire(key, 100)
    sessions.rotate(token("j-2"), "j-3", b"answer")
    for key in (listing, session):
        assert 100 < auth_redis.ttl(key) <= auth_settings.refresh_ttl_s
    assert all(auth_redis.ttl(key) > 0 for key in auth_redis.keys("*"))


def test_an_accounts_sessions_are_listed_while_they_live(sessions, first, auth_redis):
    listing = f"auth:account:{ACCOUNT}"
    auth_redis.zadd(listing, {"expired": time.time() - 1})
    sessions.open(token("k-1", sid="s-2"))
    assert set(auth_redis.zrange(listing, 0, -1)) == {b"s-1", b"s-2"}
    sessions.end(ACCOUNT, "s-1")
    assert auth_redis.zrange(listing, 0, -1) == [b"s-2"]


def test_scripts_come_back_after_redis_forgot_them(sessions, first, auth_redis):
    auth_redis.script_flush()
    assert sessions.holds(first)
    auth_redis.script_flush()
    assert sessions.rotate(first, "j-2", b"answer") == b"answer"


def test_without_redis_a_token_is_neither_valid_nor_invalid(auth_settings):
    """Not that it is good, nor that it is not."""
    with running_redis() as (server, url):
        client = redis.Redis.from_url(url, retry=None)
        sessions = Sessions(client, auth_settings)
        first = token("j-1")
        sessions.open(first)
        server.terminate()
        server.wait(10)
        for ask in (
            lambda: sessions.open(first),
            lambda: sessions.rotate(first, "j-2", b"answer"),
            lambda: sessions.holds(first),
            lambda: sessions.end(ACCOUNT, "s-1"),
        ):
            with pytest.raises(ReadModelUnavailableError):
                ask()
        client.close()
