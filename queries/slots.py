"""Slots: how many of a kind an account holds at a time, over all processes of a data directory.

A slot is a lock on one byte of a file, at a place made of the kind and the account. The kernel
frees the locks of a process that dies, so that no count is ever wrong and none needs to expire. The
file stays empty, so that a full disk changes nothing.
"""

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from commands.errors import ThrottledError

FILE = "slots.lock"
# Places are far apart, and within what the kernel takes for one in a file.
_PLACES, _APART = 2**38, 2**20


class Slots:
    """The slots of one process, for one event loop. Create it once in a process for a file.

    A process loses all its locks on a file when it closes any descriptor of it (POSIX).
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[int] = set()

    def take(self, kind: str, account: str, most: int) -> int | None:
        """Take one of ``most`` slots and return what ``release`` takes; None where all are held."""
        digest = hashlib.blake2b(f"{kind}:{account}".encode(), digest_size=8).digest()
        first = int.from_bytes(digest) % _PLACES * _APART
        for slot in range(first, first + min(most, _APART)):
            if slot in self._held:
                continue
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            except (BlockingIOError, PermissionError):  # both stand for one that is held
                continue
            except OSError:  # no lock to be had (ENOLCK): it is counted in this process alone
                pass
            self._held.add(slot)
            return slot
        return None

    def release(self, slot: int) -> None:
        """Give a slot back."""
        if slot in self._held:
            self._held.discard(slot)
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, slot)

    @contextmanager
    def held(self, kind: str, account: str, most: int, *, retry_after_s: int) -> Generator[None]:
        """Hold a slot. Raises ThrottledError where the account holds ``most``."""
        slot = self.take(kind, account, most)
        if slot is None:
            raise ThrottledError(kind, retry_after_s)
        try:
            yield
        finally:
            self.release(slot)

    def close(self) -> None:
        """Give all slots back."""
        self._held.clear()
        os.close(self._file)
