"""Write turn: one writer at a time among all processes that use a SQLite file.

Every commit and every checkpoint happens inside one: SQLite before 3.51.3 can lose a commit that
runs beside a checkpoint (https://sqlite.org/wal.html#walresetbug), and its own waiting backs off
by sleeping, so that one slow commit costs the writers of other processes up to half a second.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from commands.database.deadline import left_s
from commands.database.file_lock import FileLock
from commands.errors import EventStoreUnavailableError

if TYPE_CHECKING:
    from commands.database.breaker import Breaker

# For so long a writer waits for those of other processes.
_WAIT_S = 2.5


class WriterLock:
    """A lock on a file beside the store; may be nested in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)
        self._here = threading.local()
        self.breaker: Breaker | None = None
        """Opened where another process keeps the turn."""

    @property
    def held(self) -> bool:
        """Whether this thread has the turn."""
        return getattr(self._here, "held", False)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep every other writer out, of this process and of others.

        Raises EventStoreUnavailableError where another process does not give it away in time.
        """
        if self.held:
            yield
            return
        if self.breaker:
            self.breaker.check()
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock.held(left_s(_WAIT_S)))
            except TimeoutError as error:
                if self.breaker:
                    self.breaker.trip(str(error))
                raise EventStoreUnavailableError(str(error)) from error
            stack.enter_context(self._holding())
            yield

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Take the turn for a moment, though it may be known to be kept. Raises TimeoutError."""
        with self._lock.held(1.0), self._holding():
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
            # There is no such file where nobody ever wrote.
            with suppress(OSError):
                if self._path.exists():
                    stack.enter_context(self._lock.held(patience_s))
                    stack.enter_context(self._holding())
            yield

    @contextmanager
    def _holding(self) -> Iterator[None]:
        self._here.held = True
        try:
            yield
        finally:
            self._here.held = False
