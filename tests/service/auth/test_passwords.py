"""Passwords: strength rules, and hashing in a bounded thread pool."""

import asyncio
import gzip
import hashlib
import threading
import time
from importlib.resources import files

import argon2
import pytest

from commands.errors import BusyError, ThrottledError
from service.auth.passwords import Hasher, password_problems

SHORT = "This password is too short. It must contain at least 8 characters."
NUMERIC = "This password is entirely numeric."
COMMON = "This password is too common."
LIKE_NAME = "The password is too similar to the username."
LIKE_EMAIL = "The password is too similar to the email address."


@pytest.fixture
def hasher():
    hasher = Hasher()
    yield hasher
    hasher.close()


@pytest.mark.parametrize(
    ("password", "problems"),
    [
        ("correct horse", []),
        ("zq7!kd02", []),
        ("пароль-и-ещё", []),
        ("🎬🎥🎦📽🍿🎞🎟", [SHORT]),
        ("zq7!kd0", [SHORT]),
        ("9876501234567", [NUMERIC]),
        ("٠١٢٣٤٥٦٧٩", [NUMERIC]),
        ("password", [COMMON]),
        ("PassWord", [COMMON]),
        (" password1 ", [COMMON]),
        ("12345678", [NUMERIC, COMMON]),
        ("123456", [SHORT, NUMERIC, COMMON]),
        ("", [SHORT]),
    ],
)
def test_a_weak_password_is_refused_with_every_reason(password, problems):
    assert password_problems(password, "ann", "ann@example.org") == problems


@pytest.mark.parametrize(
    ("password", "username", "email", "problems"),
    [
        ("moviebuff", "moviebuff", "a@b.org", [LIKE_NAME]),
        ("MovieBuff7", "moviebuff", "a@b.org", [LIKE_NAME]),
        ("ffubeivom", "moviebuff", "a@b.org", [LIKE_NAME]),  # the order of letters does not count
        ("moviebuff", "x+moviebuff@y", "a@b.org", [LIKE_NAME]),
        ("moviebuff", "ann", "moviebuff@b.org", [LIKE_EMAIL]),
        ("moviebuff", "ann", "a@moviebuff.example", [LIKE_EMAIL]),
        ("moviebuff", "moviebuff", "moviebuff@b.org", [LIKE_NAME, LIKE_EMAIL]),
        ("moviebuff", "mb", "m@b.org", []),
        ("moviebuff", "", "", []),
    ],
)
def test_a_password_similar_to_the_account_is_refused(password, username, email, problems):
    assert password_problems(password, username, email) == problems


@pytest.mark.parametrize(
    ("password", "username", "similar"),
    [
        ("qjxzkvbw", "qjxzkvmy", True),  # 6 of 8 letters: 0.75
        ("qjxzkvbwfp", "qjxzkvbmyt", True),  # 7 of 10: 0.7 is alike
        ("qjxzkvbwfp", "qjxzkvmytg", False),  # 6 of 10
        ("qjxzkvbw" * 2, "qjxzkvbw", False),  # twice as long: 2/3
        ("qjxzkvbwmyt", "qjxzkvb", True),  # 2 * 7 of 18: 0.78
    ],
)
def test_seven_tenths_of_the_letters_are_similar(password, username, similar):
    assert bool(password_problems(password, username)) == similar


def test_long_input_is_checked_fast():
    """The longest password and address take less than 0.1 s."""
    address = ".".join("ab" * 40)[:240] + "@example.org"
    start = time.perf_counter()
    password_problems("ab" * 512, "a.b" * 50, address)
    password_problems("a" * 300, "a" * 150, "a" * 240 + "@a.aa")
    assert time.perf_counter() - start < 0.1


def test_the_readme_has_the_hash_of_the_common_password_list():
    assets = files("service") / "assets"
    packed = (assets / "common-passwords.txt.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() in (assets / "README.md").read_text()
    lines = gzip.decompress(packed).decode().splitlines()
    assert len(set(lines)) == len(lines) == 19_640
    assert password_problems("friend of joan") == [COMMON]  # the list has whole lines, not words


async def test_a_hash_verifies_its_password_and_no_other(hasher):
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=3,p=1$")
    assert hasher.verify(hashed, "correct horse")
    assert not hasher.verify(hashed, "correct horsE")
    assert await hasher.hash("correct horse") != hashed


async def test_composed_and_decomposed_letters_are_equal(hasher):
    """No other folding applies."""
    hashed = await hasher.hash("caf\u00e9-noir")
    assert hasher.verify(hashed, "cafe\u0301-noir")
    assert not hasher.verify(hashed, "cafe-noir")
    assert not hasher.verify(hashed, "CAF\u00c9-NOIR")


@pytest.mark.slow
def test_an_unknown_account_takes_as_long_as_a_known_one(hasher):
    """No password verifies it, not even an empty one."""
    params = argon2.extract_parameters(hasher._dummy_hash)
    assert params == argon2.extract_parameters(hasher._argon2.hash("x"))
    assert not hasher.verify(None, "")
    known = hasher._argon2.hash("x")

    def cost(hashed):
        start = time.perf_counter()
        hasher.verify(hashed, "wrong")
        return time.perf_counter() - start

    rounds = [(cost(None), cost(known)) for _ in range(7)]
    unknown_s, known_s = (min(times) for times in zip(*rounds, strict=True))
    assert 0.6 < unknown_s / known_s < 1.6


async def test_hashing_does_not_block_the_event_loop(hasher):
    work = asyncio.ensure_future(hasher.hash("correct horse"))
    turns = 0
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100


async def test_a_full_queue_refuses_at_once():
    """Two calls run, two wait, and a fifth is refused until one ends."""
    hasher = Hasher(threads=2, waiting=2)
    gate = threading.Event()
    waiting = [asyncio.ensure_future(hasher.run(None, gate.wait, 10)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await hasher.hash("correct horse")
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 4
    assert await hasher.hash("correct horse")
    hasher.close()


async def test_a_cancelled_call_frees_its_place():
    """A waiting call frees it at once, a running one when its thread is free."""
    hasher = Hasher(threads=1, waiting=1)
    gate = threading.Event()
    running = asyncio.ensure_future(hasher.run(None, gate.wait, 10))
    waiting = asyncio.ensure_future(hasher.run(None, gate.wait, 10))
    await asyncio.sleep(0.05)
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert hasher.pool.pending == 1
    gate.set()
    assert await hasher.hash("correct horse")  # it waits for the only thread
    hasher.close()


async def test_an_error_in_the_thread_reaches_the_caller(hasher):
    with pytest.raises(ZeroDivisionError):
        await hasher.run(None, lambda: 1 // 0)
    assert hasher.pool.pending == 0


pytestmark = pytest.mark.anyio


async def test_one_account_does_not_delay_the_passwords_of_others():
    """Calls beyond an account's share of the queue are throttled."""
    hasher, gate = Hasher(threads=1, waiting=12), threading.Event()
    done = []

    async def work(by):
        await hasher.run(by, gate.wait, 10)
        done.append(by)

    calls = [asyncio.ensure_future(work(by)) for by in ("ann", "ann", "ann", "ann", "bob")]
    await asyncio.sleep(0)
    with pytest.raises(ThrottledError):
        await hasher.run("ann", gate.wait, 10)
    gate.set()
    await asyncio.gather(*calls)
    assert done.index("bob") <= 2
    hasher.close()
