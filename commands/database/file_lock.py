"""A lock on a file that processes take in turns, and that nobody waits for without end."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class FileLock:
    """``flock`` with a limit on the wait, which the system call does not have."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self, wait_s: float) -> Iterator[None]:
        """Hold the lock. Raises TimeoutError where another process keeps it for ``wait_s``."""
        file = self._path.open("ab")
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
    """Waits in line for the lock on a thread of its own, so that a caller can give up."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._given_up = False
        self._error: OSError | None = None

    def wait(self, wait_s: float) -> None:
        """Return once the lock is held. Raises TimeoutError; the file is closed then."""
        threading.Thread(target=self._take, name="waiting for a lock", daemon=True).start()
        self._ended.wait(wait_s)
        with self._lock:
            self._given_up = not self._ended.is_set()
        if self._given_up:
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
            if self._given_up:
                self._file.close()
