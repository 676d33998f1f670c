"""The process of the embedded Redis, as its keeper sees it. The current directory is the data's."""

import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from service.data_dir import REDIS_DATA, REDIS_LOG

# Where it listens until it is fit to be used.
HIDDEN_SOCKET = "redis.starting.sock"
STOP_S = 3.0
OPTIONS = {
    "--port": "0",
    "--unixsocket": HIDDEN_SOCKET,
    "--unixsocketperm": "700",
    "--save": "",
    "--appendonly": "yes",
    # With syncs of its own it puts off writes for as long as a slow one takes, and its death would
    # lose them. The kernel brings them to the disk; what a power cut takes,
    # service/embedded_redis/crash_marker.py and the log make good.
    "--appendfsync": "no",
    "--appenddirname": REDIS_DATA,
    "--loglevel": "warning",
    "--logfile": REDIS_LOG,
    "--daemonize": "no",
    "--enable-protected-configs": "no",
    "--enable-debug-command": "no",
    "--enable-module-command": "no",
}
PR_SET_PDEATHSIG = 1


class ValkeyProcess:
    """One server after another; ``lock`` is the descriptor it holds besides the keeper."""

    def __init__(self, binary: str, lock: int) -> None:
        self._argv = [binary, *(word for option in OPTIONS.items() for word in option)]
        self._lock = lock
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._guard = (0, -1)
        self._log_from = 0
        self.pid = 0
        self.started_at = 0.0

    def start(self) -> None:
        """Start the process. It dies with this one."""
        Path(HIDDEN_SOCKET).unlink(missing_ok=True)
        log = Path(REDIS_LOG)
        self._log_from = log.stat().st_size if log.exists() else 0
        self.started_at, parent = time.monotonic(), os.getpid()
        self.pid = os.fork()
        if self.pid:
            if self._libc is None:
                self._guard = _guard(self.pid)
            return
        try:
            if self._libc is not None:
                self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)
            os.set_inheritable(self._lock, True)
            os.execv(self._argv[0], self._argv)  # noqa: S606 - our own binary, no shell
        except OSError as error:
            os.write(2, f"cannot run {self._argv[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def ask(self, *words: str, wait_s: float = 1.0, path: str = HIDDEN_SOCKET) -> bytes:
        """Send one command and return the first of its answer, nothing where there is none."""
        request = b"*%d\r\n" % len(words)
        request += b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
        with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
            line.settimeout(wait_s)
            line.connect(path)
            line.sendall(request)
            return line.recv(256)
        return b""

    def ended(self) -> int | None:
        """Return the exit code, or the negative number of the signal, of a process that ended."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        if self._guard[0]:
            os.write(self._guard[1], b".")
            os.close(self._guard[1])
            os.waitpid(self._guard[0], 0)
            self._guard = (0, -1)
        return os.waitstatus_to_exitcode(status)

    def stop(self) -> bool:
        """End the process; return whether it did so by itself, with everything on disk."""
        if not self.pid:
            return False
        os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while (code := self.ended()) is None:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.005)
        return code == 0

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def why(self, code: int) -> str:
        """Return how a process ended, with the last line it logged if it ended by itself."""
        if code < 0:
            return signal.Signals(-code).name
        lines = [line for line in self._said().splitlines() if line.strip()]
        return f"exit {code}" + (f", saying: {lines[-1].split(' # ')[-1]}" if lines else "")

    def could_not_read(self, code: int) -> bool:
        """Return whether a process ended because of what it found in its data."""
        said = self._said()
        return code == 1 and any(sign in said for sign in ("append only file", "AOF", "RDB"))

    def _said(self) -> str:
        with Path(REDIS_LOG).open("rb") as log:
            log.seek(self._log_from)
            return log.read(65536).decode(errors="replace")


def _guard(server: int) -> tuple[int, int]:
    """Return a process that kills ``server`` when we die, and what to write to dismiss it.

    For systems whose kernel does not do that.
    """
    theirs, ours = os.pipe()
    if pid := os.fork():
        os.close(theirs)
        return pid, ours
    os.dup2(theirs, 3)
    os.closerange(4, 1024)
    if os.read(3, 1) == b"":
        os.kill(server, signal.SIGKILL)
    os._exit(0)
