"""The embedded Redis: one server for each data directory, shared by all commands that use it.

The holder of ``redis.lock`` runs the server (``owner.py``). The other users connect to
``redis.sock`` and compete for the lock when their connection closes. So the server ends with its
owner, and the next owner starts it again from its data. The kernel frees the lock of an owner that
is killed.
"""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

from commands.errors import ConfigurationError
from service.backoff import GiveUpError
from service.data_dir import REDIS_LOCK, REDIS_LOG, REDIS_SOCKET, VARIABLE
from service.embedded_redis.owner import RedisOwner
from service.embedded_redis.valkey_process import LOADING_SOCKET, ask

ANSWER_S, CLOSE_S, POLL_S, LOCK_POLL_S = 5.0, 5.0, 0.1, 0.01
PATH_BYTES = 107 if sys.platform == "linux" else 103
"""Longest path of a Unix socket, without its terminating NUL."""


class EmbeddedRedis:
    """One use of the embedded Redis, which runs until the last ``close``.

    There is a short gap when the owner ends and another user takes over.
    """

    def __init__(self, data_dir: Path, on_failure: Callable[[], object]) -> None:
        self.failure: ConfigurationError | None = None
        """Why the server does not run any more; nothing is tried again then."""
        self._data_dir = data_dir.absolute()
        self._on_failure = on_failure
        self._settled, self._closing = Event(), Event()
        self._thread = Thread(target=self._run, name="embedded Redis", daemon=True)

    @classmethod
    def join(
        cls,
        data_dir: Path,
        *,
        give_up: Callable[[], bool] = lambda: False,
        on_failure: Callable[[], object] = lambda: None,
    ) -> Self:
        """Start the embedded Redis of a prepared data directory, or share the running one.

        Returns when the server answers or ``give_up`` returns true. Raises ConfigurationError if
        it does not start. If it fails later, ``failure`` is set and ``on_failure`` called.
        """
        embedded = cls(data_dir, on_failure)
        excess = len(os.fsencode(embedded._data_dir / REDIS_SOCKET)) - PATH_BYTES
        if excess > 0:
            raise ConfigurationError(
                VARIABLE,
                f"{embedded._data_dir} is {excess} bytes too long for its sockets;"
                " choose a shorter one",
            )
        embedded._thread.start()
        try:
            while not (embedded._settled.wait(POLL_S) or give_up()):
                pass
        except BaseException:
            embedded.close()
            raise
        if embedded.failure:
            raise embedded.failure
        return embedded

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """End this use; an owner returns when the server has saved its data and ended."""
        self._closing.set()
        self._thread.join(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            with (self._data_dir / REDIS_LOCK).open("a") as lock:
                if self._acquire(lock.fileno()):
                    RedisOwner(
                        self._data_dir, lock.fileno(), self._closing, self._settled.set
                    ).run()
        except (GiveUpError, OSError) as error:
            self.failure = ConfigurationError(
                "CINELOG_REDIS_URL",
                f"the embedded Redis does not run ({error}); see {self._data_dir / REDIS_LOG},"
                " or name a Redis server of your own",
            )
            self._on_failure()
        finally:
            self._settled.set()

    def _acquire(self, lock: int) -> bool:
        """Share the servers of other owners until the lock is free; return False on ``close``."""
        deadline = time.monotonic() + ANSWER_S
        while not self._closing.is_set():
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if self._share() or ask(self._data_dir / LOADING_SOCKET, "PING"):
                deadline = time.monotonic() + ANSWER_S
            elif not self._settled.is_set() and time.monotonic() > deadline:
                raise GiveUpError(f"another process holds {REDIS_LOCK}, and no server answers")
            self._closing.wait(LOCK_POLL_S)
        return False

    def _share(self) -> bool:
        """Use a running server until it ends or ``close``; return False if there is none."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._data_dir / REDIS_SOCKET))
            except OSError:
                return False
            self._settled.set()
            connection.setblocking(False)
            with suppress(OSError):
                while not self._closing.wait(POLL_S):
                    with suppress(BlockingIOError):
                        if connection.recv(1) == b"":
                            break
        return True
