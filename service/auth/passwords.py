"""Password rules, and argon2 hashing off the event loop."""

import gzip
import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Hashable
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files
from secrets import token_bytes

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from queries.admission.turns import Turns
from service.thread_pool import P, Pool, T

MIN_LENGTH = 8
MAX_SIMILARITY = 0.7

# Argon2id, above the OWASP minimum (19 MiB, 2 passes, 1 lane): 35 to 45 ms on a current core.
# RFC 9106's second profile needs 64 MiB and four threads for each of two hashes at a time.
TIME_COST = 3
MEMORY_COST_KIB = 19 * 1024
LANES = 1


def password_problems(password: str, username: str = "", email: str = "") -> list[str]:
    """Return every problem of ``password``; it is accepted if there is none.

    The rules, the list and the wording are those of Django's password validation.
    """
    problems = []
    if len(password) < MIN_LENGTH:
        problems.append(
            f"This password is too short. It must contain at least {MIN_LENGTH} characters."
        )
    if password.isdigit():
        problems.append("This password is entirely numeric.")
    if password.lower().strip() in _common_passwords():
        problems.append("This password is too common.")
    for name, value in (("username", username), ("email address", email)):
        if _too_similar(password.lower(), value.lower()):
            problems.append(f"The password is too similar to the {name}.")
    return problems


@cache
def _common_passwords() -> frozenset[str]:
    packed = files("service").joinpath("assets", "common-passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().splitlines())


def _too_similar(password: str, value: str) -> bool:
    return any(
        SequenceMatcher(a=password, b=part).quick_ratio() >= MAX_SIMILARITY
        for part in {*re.split(r"\W+", value), value}
        # quick_ratio is at most 2 * shorter / (sum of both): parts that cannot reach the limit are
        # not compared, so that long input costs little.
        if 2 * min(len(password), len(part)) >= MAX_SIMILARITY * (len(password) + len(part)) > 0
    )


class Hasher:
    """Hashes and verifies passwords, two at a time; with 64 waiting the next raises BusyError.

    Accounts take turns, and one account may have at most a quarter of those waiting.
    """

    def __init__(self, *, threads: int = 2, waiting: int = 64) -> None:
        self.pool = Pool("password hashing", threads=threads, waiting=waiting)
        self._turns = Turns("passwords", running=threads, waiting=max(1, waiting // 4))
        self._argon2 = PasswordHasher(TIME_COST, MEMORY_COST_KIB, LANES)
        # A hash of the same cost that no known password has.
        salt, digest = (b64encode(token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        costs = f"m={MEMORY_COST_KIB},t={TIME_COST},p={LANES}"
        self._dummy_hash = f"$argon2id$v=19${costs}${salt}${digest}"

    @property
    def pending(self) -> int:
        """How many calls run or wait."""
        return self.pool.pending + self._turns.in_line

    async def hash(self, password: str, by: Hashable = None) -> str:
        """Return the encoded hash of ``password``, made on a thread of the pool; see ``run``."""
        return await self.run(by, self._argon2.hash, _normalized(password))

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether ``password`` has this hash. Blocks: call it on a thread of the pool.

        None stands for an account that does not exist. It costs the same work, so that response
        times do not reveal which accounts exist.
        """
        try:
            self._argon2.verify(password_hash or self._dummy_hash, _normalized(password))
        except VerifyMismatchError:
            return False
        return password_hash is not None

    def rehashed(self, password_hash: str, password: str) -> str | None:
        """Return a hash at today's costs if ``password_hash`` was made at others. Blocks."""
        if not self._argon2.check_needs_rehash(password_hash):
            return None
        return self._argon2.hash(_normalized(password))

    async def run(
        self, by: Hashable, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work that verifies a password on a thread of the pool.

        ``by`` identifies the account, None if it has none yet. Raises ThrottledError if too many
        calls of this account wait, BusyError if too many of all.
        """
        if by is None:
            return await self.pool.run(function, *args, **kwargs)
        async with self._turns.of(by):
            return await self.pool.run(function, *args, **kwargs)

    def close(self) -> None:
        """End the threads."""
        self.pool.close()


def _normalized(password: str) -> bytes:
    """Return the bytes to hash in NFC, which does not depend on the keyboard (RFC 8265, 4.2)."""
    return unicodedata.normalize("NFC", password).encode()
