"""Write turn: one writer at a time among all processes that use a SQLite file.

Every commit and every checkpoint happens inside one: SQLite before 3.51.3 can lose a commit that
runs beside a checkpoint (https://sqlite.org/wal.html#walresetbug), and its own waiting backs off
by sleeping, so that one slow commit costs the writers of other processes up to half a second.
"""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PAUSE_S = 0.02


class WriteTurn:
    """A lock on a file beside the store; may be nested in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._here = threading.local()

    @property
    def held(self) -> bool:
        """Whether this thread has the turn."""
        return getattr(self._here, "held", False)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep every other writer out, of this process and of others."""
        if self.held:
            yield
            return
        with self._path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._holding():
                yield

    @contextmanager
    def to_close(self, patience_s: float = 2.0) -> Iterator[None]:
        """Take the turn to close a connection, which may checkpoint; do without it in the end.

        A holder that does not let go has the store open, so that this connection is not the last
        one and checkpoints nothing.
        """
        if self.held:
            yield
            return
        with ExitStack() as stack:
            with suppress(OSError):  # there is no such file where nobody ever wrote
                lock = stack.enter_context(self._path.open("rb"))
                if _taken(lock, patience_s):
                    stack.enter_context(self._holding())
            yield

    @contextmanager
    def _holding(self) -> Iterator[None]:
        self._here.held = True
        try:
            yield
        finally:
            self._here.held = False


def _taken(lock: BinaryIO, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE_S)
