"""Processes of Cinelog's own, as the process that starts them sees them."""

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
# What comes within so short a time, and is not longer, is one line: a traceback is told whole.
TOGETHER_S, MAX_BYTES = 0.1, 65_536
_CRASHES = ("Traceback (most recent call last)", "Fatal Python error")


class ManagedProcess:
    """One process that is to run: started, told what to do, asked whether it is ready.

    What it is told goes over its standard input, which stays open for as long as we live; what it
    says comes over a pipe (``service/processes/handshake.py`` is the other end). It is a process
    group of its own: Ctrl-C reaches the parent alone, which ends its children in order.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        fds: Sequence[int] = (),
        *,
        kept: Sequence[int] = (),
        log_fd: int | None = None,
    ) -> None:
        """Where ``log_fd`` is given, the child logs there, and what it prints is wrapped.

        It is told the numbers of ``fds``; those of ``kept`` it only keeps open.
        """
        self.name = name
        self.log_fd = log_fd
        self.backoff = Backoff(name)
        self.ready = self.heartbeat_seen = self.hung = False
        self.reloads = False
        """Whether it was asked to end so that it loads changed sources."""
        self.silent_s = 0.0
        """For how long a child that beats has been silent, in time that its parent was awake."""
        self.started_at = 0.0
        self.start_at = self.ready_by = self.ready_at = NEVER
        self.status_fd: int | None = None
        self._argv = argv
        self._fds = tuple(fds)
        self._kept = tuple(kept)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it gets ready as far as it can without being told anything."""
        self.ready = self.heartbeat_seen = self.hung = False
        self.silent_s, self.started_at = 0.0, time.monotonic()
        self.start_at = self.ready_by = self.ready_at = NEVER
        self.status_fd, theirs = os.pipe()
        os.set_blocking(self.status_fd, False)
        printed = None if self.log_fd is None else _wrap_output(self.name)
        logs = () if self.log_fd is None else (self.log_fd,)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*self._argv, str(theirs), *map(str, self._fds)],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                env=environment(),
                pass_fds=(theirs, *self._fds, *self._kept, *logs),
                process_group=0,
            )
        finally:
            os.close(theirs)
            if printed is not None:
                os.close(printed)

    def send(self, order: dict[str, Any]) -> None:
        """Tell it what to do: one line of JSON."""
        if self.log_fd is not None:
            order = order | {"log_fd": self.log_fd}
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # it died, which its parent is about to see
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()

    def read_status(self) -> dict[str, Any] | None:
        """Return what it says: nothing, that it is ready, or why it cannot work.

        A sentence is far shorter than what a pipe takes in one piece.
        """
        if self.status_fd is None:
            return None
        try:
            heard = os.read(self.status_fd, 65536)
        except BlockingIOError:
            return None
        if not heard:
            os.close(self.status_fd)
            self.status_fd = None
            return {}
        line, beats = (b"", heard) if self.ready else heard.split(b"\n", 1)
        if beats:
            self.heartbeat_seen, self.silent_s = True, 0.0
        if not line:
            return {}
        said: dict[str, Any] = json.loads(line)
        self.ready = said.get("ready", False)
        self.ready_at = time.monotonic()
        return said

    @property
    def next_deadline(self) -> float:
        """When it is to be started, or to have said that it is ready."""
        return self.start_at if self.ready else min(self.start_at, self.ready_by)

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None

    def poll(self) -> str | None:
        """Return how the process ended, where it has since the last call."""
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
        """Send a signal to the process, if it is there."""
        if self._process is not None:
            self._process.send_signal(number)


def end_all(children: Sequence[ManagedProcess], until: float, hurried: Callable[[], bool]) -> None:
    """Ask the processes to end and return when they have, killed where they do not in time."""
    for child in children:
        child.start_at = NEVER
        child.signal(Signals.SIGTERM)
    killed = False
    while any(child.is_running and child.poll() is None for child in children):
        if not killed and (hurried() or time.monotonic() > until):
            killed = True
            for child in children:
                child.signal(Signals.SIGKILL)
        time.sleep(0.005)


def _wrap_output(name: str) -> int:
    """Return the descriptor that the child ``name`` prints to; its owner closes it here."""
    ours, theirs = os.pipe()
    Thread(target=_wrap, args=[name, ours], name=f"output of {name}", daemon=True).start()
    return theirs


def _wrap(name: str, fd: int) -> None:
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while text := pipe.read(MAX_BYTES):
            while len(text) < MAX_BYTES and select.select([pipe], [], [], TOGETHER_S)[0]:
                if not (more := pipe.read(MAX_BYTES)):
                    break
                text += more
            with suppress(OSError, ValueError):  # the log cannot be written to: nothing to be done
                _log(name, text.decode(errors="backslashreplace"))


def _log(name: str, text: str) -> None:
    log = structlog.get_logger(__name__)
    plain = []
    for line in text.splitlines():
        event = _logged(line)
        if event is None:
            plain.append(line)
        else:  # a process below the child, which logs by itself
            log.log(30, event.pop("event", "output"), process=name, **event)
    if said := "\n".join(plain).strip("\n"):
        crashed = any(sign in said for sign in _CRASHES)
        log.log(40 if crashed else 30, "output", process=name, text=said)


def _logged(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    with suppress(orjson.JSONDecodeError):
        found: dict[str, object] = orjson.loads(line)
        return {k: v for k, v in found.items() if k not in ("level", "timestamp", "process")}
    return None
