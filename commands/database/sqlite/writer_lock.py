"""Writer lock: one writer at a time among all processes that use a SQLite file.

Every commit and every checkpoint happens under it. SQLite before 3.51.3 can lose a commit that runs
beside a checkpoint (https://sqlite.org/wal.html#walresetbug), and its own waiting sleeps ever
longer, so that one slow commit costs the writers of other processes up to half a second.
"""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO


class WriterLock:
    """A lock on a file beside the store."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._here = threading.local()

    @property
    def is_held(self) -> bool:
        """Whether this thread has the lock."""
        return getattr(self._here, "is_held", False)

    @contextmanager
    def acquired(self, wait_s: float) -> Iterator[None]:
        """Exclude every other writer, of this process and of others.

        Raises TimeoutError if another one keeps the lock for ``wait_s``.
        """
        with _locked(self._path, wait_s):
            self._here.is_held = True
            try:
                yield
            finally:
                self._here.is_held = False

    @contextmanager
    def to_close(self, wait_s: float = 2.0) -> Iterator[None]:
        """Take the lock to close a connection, which may make a checkpoint; do not insist on it.

        A holder that does not release it has the store open. So this connection is not the last one
        and makes no checkpoint.
        """
        with ExitStack() as stack:
            # Without a writer there is no such file.
            with suppress(OSError):
                if not self.is_held and self._path.exists():
                    stack.enter_context(self.acquired(wait_s))
            yield


@contextmanager
def _locked(path: Path, wait_s: float) -> Iterator[None]:
    """Lock a file. Raises TimeoutError if another process keeps the lock for ``wait_s``."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _Attempt(file).wait(wait_s)
    except BaseException:
        file.close()
        raise
    with file:  # closing releases it
        yield


class _Attempt:
    """Waits for a lock in a thread, so that the caller can give up: ``flock`` has no timeout."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._is_abandoned = False
        self._error: OSError | None = None

    def wait(self, wait_s: float) -> None:
        """Return once the lock is held. Raises TimeoutError; the file is closed then."""
        threading.Thread(target=self._take, name="waiting for a lock", daemon=True).start()
        self._ended.wait(wait_s)
        with self._lock:
            self._is_abandoned = not self._ended.is_set()
        if self._is_abandoned:
            raise TimeoutError("another process holds the lock")
        if self._error:
            self._file.close()
            raise self._error

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._lock:
            self._ended.set()
            if self._is_abandoned:
                self._file.close()
