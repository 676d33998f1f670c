"""Slots: a bound on the things of a kind that an account holds, over all processes of a directory.

A slot is a lock on one byte of a file, at an offset hashed from kind and account. The kernel
releases the locks of a dead process, so no count is ever wrong or needs to expire. The file stays
empty, so a full disk does no harm.
"""

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from commands.errors import ThrottledError

FILE = "slots.lock"
# Offsets are far apart, and within the kernel's range.
_OFFSETS, _APART = 2**38, 2**20


class Slots:
    """The slots of one process, for one event loop. A process must open a file only once.

    Closing any descriptor of a file releases all locks of the process on it (POSIX).
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[int] = set()

    def take(self, kind: str, account: str, most: int) -> int | None:
        """Take one of ``most`` slots and return it for ``release``; None where all are held."""
        digest = hashlib.blake2b(f"{kind}:{account}".encode(), digest_size=8).digest()
        first = int.from_bytes(digest) % _OFFSETS * _APART
        for slot in range(first, first + min(most, _APART)):
            if slot in self._held:
                continue
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            except (BlockingIOError, PermissionError):  # both mean that it is held
                continue
            except OSError:  # no locks left (ENOLCK): count in this process only
                pass
            self._held.add(slot)
            return slot
        return None

    def release(self, slot: int) -> None:
        """Release a slot."""
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
        """Release all slots."""
        self._held.clear()
        os.close(self._file)
