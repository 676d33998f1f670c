"""Passwords: what is too weak, and hashing that holds up nobody."""

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
def test_weak_passwords(password, problems):
    """Every reason at once, in the words that clients know."""
    assert password_problems(password, "ann", "ann@example.org") == problems


@pytest.mark.parametrize(
    ("password", "username", "email", "problems"),
    [
        ("moviebuff", "moviebuff", "a@b.org", [LIKE_NAME]),
        ("MovieBuff7", "moviebuff", "a@b.org", [LIKE_NAME]),
        ("ffubeivom", "moviebuff", "a@b.org", [LIKE_NAME]),  # letters count, not their order
        ("moviebuff", "x+moviebuff@y", "a@b.org", [LIKE_NAME]),
        ("moviebuff", "ann", "moviebuff@b.org", [LIKE_EMAIL]),
        ("moviebuff", "ann", "a@moviebuff.example", [LIKE_EMAIL]),
        ("moviebuff", "moviebuff", "moviebuff@b.org", [LIKE_NAME, LIKE_EMAIL]),
        ("moviebuff", "mb", "m@b.org", []),
        ("moviebuff", "", "", []),
    ],
)
def test_passwords_like_the_account(password, username, email, problems):
    assert password_problems(password, username, email) == problems


@pytest.mark.parametrize(
    ("password", "username", "alike"),
    [
        ("qjxzkvbw", "qjxzkvmy", True),  # 6 of 8 letters: 0.75
        ("qjxzkvbwfp", "qjxzkvbmyt", True),  # 7 of 10: 0.7 is alike
        ("qjxzkvbwfp", "qjxzkvmytg", False),  # 6 of 10
        ("qjxzkvbw" * 2, "qjxzkvbw", False),  # twice as long: 2/3
        ("qjxzkvbwmyt", "qjxzkvb", True),  # 2 * 7 of 18: 0.78
    ],
)
def test_alike_is_seven_tenths(password, username, alike):
    assert bool(password_problems(password, username)) == alike


def test_long_input_costs_little():
    """The longest password beside the longest address: below 0.1 s on any machine."""
    address = ".".join("ab" * 40)[:240] + "@example.org"
    start = time.perf_counter()
    password_problems("ab" * 512, "a.b" * 50, address)
    password_problems("a" * 300, "a" * 150, "a" * 240 + "@a.aa")
    assert time.perf_counter() - start < 0.1


def test_the_list_is_the_one_its_readme_names():
    assets = files("service") / "assets"
    packed = (assets / "common-passwords.txt.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() in (assets / "README.md").read_text()
    lines = gzip.decompress(packed).decode().splitlines()
    assert len(set(lines)) == len(lines) == 19_640
    assert password_problems("friend of joan") == [COMMON]  # a line, not words, is a password


async def test_a_hash_verifies_its_password_and_no_other(hasher):
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=3,p=1$")
    assert hasher.verify(hashed, "correct horse")
    assert not hasher.verify(hashed, "correct horsE")
    assert await hasher.hash("correct horse") != hashed


async def test_one_password_typed_on_two_systems_is_one(hasher):
    """A composed and a decomposed é; no other folding."""
    hashed = await hasher.hash("caf\u00e9-noir")
    assert hasher.verify(hashed, "cafe\u0301-noir")
    assert not hasher.verify(hashed, "cafe-noir")
    assert not hasher.verify(hashed, "CAF\u00c9-NOIR")


@pytest.mark.slow
def test_an_unknown_account_costs_the_same_work(hasher):
    """And nothing verifies it, not even the empty password."""
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


async def test_the_event_loop_runs_on_while_passwords_are_hashed(hasher):
    work = asyncio.ensure_future(hasher.hash("correct horse"))
    turns = 0
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100


async def test_a_full_queue_refuses_at_once():
    """Two hash, two wait, the fifth is told to come later; then there is room again."""
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


async def test_a_caller_that_gives_up_frees_its_place():
    """At once where it only waited; once the thread is free where it ran."""
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
    assert await hasher.hash("correct horse")  # behind it on the one thread
    hasher.close()


async def test_an_error_of_the_work_is_the_callers(hasher):
    with pytest.raises(ZeroDivisionError):
        await hasher.run(None, lambda: 1 // 0)
    assert hasher.pool.pending == 0


pytestmark = pytest.mark.anyio


async def test_the_passwords_of_one_account_wait_for_those_of_others():
    """However many are tried at once; beyond so many it is refused."""
    hasher, gate = Hasher(threads=1, waiting=12), threading.Event()
    done = []

    async def work(by):
        await hasher.run(by, gate.wait, 10)
        done.append(by)

    asked = [asyncio.ensure_future(work(by)) for by in ("ann", "ann", "ann", "ann", "bob")]
    await asyncio.sleep(0)
    with pytest.raises(ThrottledError):
        await hasher.run("ann", gate.wait, 10)
    gate.set()
    await asyncio.gather(*asked)
    assert done.index("bob") <= 2
    hasher.close()
