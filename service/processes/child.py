"""Processes of Cinelog's own, as the process that starts them sees them."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from signal import Signals
from typing import Any

from projections.subprocesses import environment
from service.backoff import Backoff
from service.processes.child_output import wrap_output

NEVER = float("inf")


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
        self.pauses = Backoff()
        self.ready = self.beats = self.hung = False
        self.reloads = False
        """Whether it was asked to end so that it loads changed sources."""
        self.silent_s = 0.0
        """For how long a child that beats has been silent, in time that its parent was awake."""
        self.started_at = 0.0
        self.start_at = self.ready_by = self.ready_at = NEVER
        self.said: int | None = None
        self._argv = argv
        self._fds = tuple(fds)
        self._kept = tuple(kept)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it gets ready as far as it can without being told anything."""
        self.ready = self.beats = self.hung = False
        self.silent_s, self.started_at = 0.0, time.monotonic()
        self.start_at = self.ready_by = self.ready_at = NEVER
        self.said, theirs = os.pipe()
        os.set_blocking(self.said, False)
        printed = None if self.log_fd is None else wrap_output(self.name)
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

    def tell(self, order: dict[str, Any]) -> None:
        """Tell it what to do: one line of JSON."""
        if self.log_fd is not None:
            order = order | {"log_fd": self.log_fd}
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # it died, which its parent is about to see
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()

    def hear(self) -> dict[str, Any] | None:
        """Return what it says: nothing, that it is ready, or why it cannot work.

        A sentence is far shorter than what a pipe takes in one piece.
        """
        if self.said is None:
            return None
        try:
            heard = os.read(self.said, 65536)
        except BlockingIOError:
            return None
        if not heard:
            os.close(self.said)
            self.said = None
            return {}
        line, beats = (b"", heard) if self.ready else heard.split(b"\n", 1)
        if beats:
            self.beats, self.silent_s = True, 0.0
        if not line:
            return {}
        said: dict[str, Any] = json.loads(line)
        self.ready = said.get("ready", False)
        self.ready_at = time.monotonic()
        return said

    @property
    def due_at(self) -> float:
        """When it is to be started, or to have said that it is ready."""
        return self.start_at if self.ready else min(self.start_at, self.ready_by)

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None

    def ended(self) -> str | None:
        """Return how the process ended, where it has since the last call."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process, self.ready, self.beats, self.ready_by = None, False, False, NEVER
        if self.said is not None:
            os.close(self.said)
            self.said = None
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
    while any(child.runs and child.ended() is None for child in children):
        if not killed and (hurried() or time.monotonic() > until):
            killed = True
            for child in children:
                child.signal(Signals.SIGKILL)
        time.sleep(0.005)
