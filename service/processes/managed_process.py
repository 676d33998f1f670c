"""A child process, from the side of its parent: start, status, end, and what it prints."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from signal import Signals
from threading import Thread
from typing import Any

import orjson
import structlog

from projections.subprocesses import environment
from service.backoff import Backoff

NEVER = float("inf")
# Output within this time, up to this size, becomes one log line: so a traceback stays whole.
TOGETHER_S, MAX_BYTES = 0.1, 65_536
_CRASHES = ("Traceback (most recent call last)", "Fatal Python error")


class ManagedProcess:
    """A child process that can be started again.

    It gets the startup message on its standard input, which stays open as long as the parent
    lives, and reports its status on a pipe (``handshake.py`` is its side). It has a process group
    of its own: Ctrl-C reaches only the parent, which ends its children in order.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        fds: Sequence[int] = (),
        *,
        inherited_fds: Sequence[int] = (),
        log_fd: int | None = None,
    ) -> None:
        """With a ``log_fd``, the child logs there, and its other output is wrapped into log lines.

        The child gets the numbers of ``fds`` as arguments; ``inherited_fds`` only stay open.
        """
        self.name = name
        self.log_fd = log_fd
        self.backoff = Backoff(name)
        self.ready = self.heartbeat_seen = self.hung = False
        self.reloading = False
        """Whether it was asked to end in order to load changed sources."""
        self.silent_s = 0.0
        """Time since the last heartbeat in which the parent was awake."""
        self.started_at = 0.0
        self.start_at = self.ready_by = self.ready_at = NEVER
        self.status_fd: int | None = None
        self._argv = argv
        self._fds = tuple(fds)
        self._inherited_fds = tuple(inherited_fds)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, which loads its code and waits for the startup message."""
        self.ready = self.heartbeat_seen = self.hung = False
        self.silent_s, self.started_at = 0.0, time.monotonic()
        self.start_at = self.ready_by = self.ready_at = NEVER
        self.status_fd, child_fd = os.pipe()
        os.set_blocking(self.status_fd, False)
        output_fd = None if self.log_fd is None else _wrap_output(self.name)
        logs = () if self.log_fd is None else (self.log_fd,)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*self._argv, str(child_fd), *map(str, self._fds)],
                stdin=subprocess.PIPE,
                stdout=output_fd,
                stderr=output_fd,
                env=environment(),
                pass_fds=(child_fd, *self._fds, *self._inherited_fds, *logs),
                process_group=0,
            )
        finally:
            os.close(child_fd)
            if output_fd is not None:
                os.close(output_fd)

    def send(self, message: dict[str, Any]) -> None:
        """Send the startup message, one line of JSON."""
        if self.log_fd is not None:
            message = message | {"log_fd": self.log_fd}
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # it died, which ``poll`` reports
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()

    def read_status(self) -> dict[str, Any] | None:
        """Return a new status: ``ready``, or why it refuses to work. Empty if there is none.

        A status is far shorter than the size that a pipe takes in one piece.
        """
        if self.status_fd is None:
            return None
        try:
            received = os.read(self.status_fd, 65536)
        except BlockingIOError:
            return None
        if not received:
            os.close(self.status_fd)
            self.status_fd = None
            return {}
        line, heartbeats = (b"", received) if self.ready else received.split(b"\n", 1)
        if heartbeats:
            self.heartbeat_seen, self.silent_s = True, 0.0
        if not line:
            return {}
        status: dict[str, Any] = json.loads(line)
        self.ready = status.get("ready", False)
        self.ready_at = time.monotonic()
        return status

    @property
    def next_deadline(self) -> float:
        """The time of its next start, or by which it must be ready."""
        return self.start_at if self.ready else min(self.start_at, self.ready_by)

    @property
    def is_running(self) -> bool:
        """Whether a process was started and its end was not yet reported by ``poll``."""
        return self._process is not None

    def poll(self) -> str | None:
        """Return how the process ended, once."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process, self.ready, self.heartbeat_seen, self.ready_by = None, False, False, NEVER
        if self.status_fd is not None:
            os.close(self.status_fd)
            self.status_fd = None
        return f"killed by {Signals(-code).name}" if code < 0 else f"exit {code}"

    def signal(self, number: Signals) -> None:
        """Send a signal, if the process runs."""
        if self._process is not None:
            self._process.send_signal(number)


def end_all(children: Sequence[ManagedProcess], deadline: float, hurry: Callable[[], bool]) -> None:
    """Ask the processes to end, kill the rest at ``deadline`` or on ``hurry``, and wait."""
    for child in children:
        child.start_at = NEVER
        child.signal(Signals.SIGTERM)
    killed = False
    while any(child.is_running and child.poll() is None for child in children):
        if not killed and (hurry() or time.monotonic() > deadline):
            killed = True
            for child in children:
                child.signal(Signals.SIGKILL)
        time.sleep(0.005)


def _wrap_output(name: str) -> int:
    """Return a descriptor whose output becomes log lines of ``name``; the caller closes it."""
    read_fd, write_fd = os.pipe()
    Thread(target=_wrap, args=[name, read_fd], name=f"output of {name}", daemon=True).start()
    return write_fd


def _wrap(name: str, fd: int) -> None:
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while text := pipe.read(MAX_BYTES):
            while len(text) < MAX_BYTES and select.select([pipe], [], [], TOGETHER_S)[0]:
                if not (more := pipe.read(MAX_BYTES)):
                    break
                text += more
            with suppress(OSError, ValueError):  # the log cannot be written
                _log(name, text.decode(errors="backslashreplace"))


def _log(name: str, text: str) -> None:
    log = structlog.get_logger(__name__)
    plain = []
    for line in text.splitlines():
        event = _logged(line)
        if event is None:
            plain.append(line)
        else:  # a log line of a grandchild
            log.log(30, event.pop("event", "output"), process=name, **event)
    if printed := "\n".join(plain).strip("\n"):
        crashed = any(sign in printed for sign in _CRASHES)
        log.log(40 if crashed else 30, "output", process=name, text=printed)


def _logged(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    with suppress(orjson.JSONDecodeError):
        found: dict[str, object] = orjson.loads(line)
        return {k: v for k, v in found.items() if k not in ("level", "timestamp", "process")}
    return None
