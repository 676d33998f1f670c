"""A child's tie to the supervisor: it dies with it, hears what to do, says when it is ready.

The other end is ``service/processes/managed_process.py``.
"""

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

from commands.errors import CinelogError, ConfigurationError, UnavailableError
from projections.subprocesses import die_with_parent, die_with_stdin
from service.observability.logs import configure_logs
from service.settings import Settings

HEARTBEAT_S = 1.0
# At the start a part that is away is a setting that does not work.
VARIABLES = {"event store": "CINELOG_EVENT_STORE_URL", "read model": "CINELOG_REDIS_URL"}


@dataclass(frozen=True)
class StartupMessage:
    """What a child is told."""

    settings: Settings
    first: bool
    """Whether the service is just starting: then a part that is away is a reason to refuse."""
    accept_log: bool = False
    """Whether any log may take the place of the one that was served before."""
    log_fd: int = 2
    """Where log lines go; what else is printed is wrapped into such lines by the parent."""

    def configure_logs(self) -> None:
        """Log as the parent wants it."""
        configure_logs(self.settings.log_format, self.settings.log_level, fd=self.log_fd)


class WorkerHandshake:
    """Made by a child before anything else; ``said`` is the descriptor it answers on."""

    def __init__(self, said: int) -> None:
        self._said: int | None = said
        self._is_ready = False

    def receive(self) -> StartupMessage:
        """Wait for what the parent wants. Ends the process where the parent is gone."""
        line = b""
        while not line.endswith(b"\n"):
            if not (more := os.read(0, 65536)):
                raise SystemExit(0)
            line += more
        told: dict[str, Any] = json.loads(line)
        # At once: a request in flight cannot be answered, since the parent's socket goes away.
        if not die_with_parent(told["parent"]):
            Thread(target=die_with_stdin, name="parent", daemon=True).start()
        settings = Settings.model_validate(told["settings"])
        accept_log = told.get("accept_log", False)
        return StartupMessage(settings, told["first"], accept_log, told.get("log_fd", 2))

    def send_ready(self) -> None:
        """Say that the work has begun."""
        self._is_ready = True
        self._say({"ready": True})

    def send_heartbeat(self) -> None:
        """Say that the work goes on: once every ``HEARTBEAT_S`` from the first time on."""
        if self._said is not None:
            with suppress(OSError):  # the parent is stopped, and so hears nothing
                os.write(self._said, b".")

    def send_refusal(self, error: CinelogError) -> int:
        """Say why the work cannot begin, and return the exit code for it."""
        if not isinstance(error, ConfigurationError):
            part = error.part if isinstance(error, UnavailableError) else ""
            error = ConfigurationError(VARIABLES.get(part, "CINELOG_*"), str(error))
        if self._is_ready:  # and it may be again
            sys.stderr.write(f"cinelog: {error}\n")
            return 1
        self._say({"variable": error.variable, "problem": error.problem})
        return 2

    def _say(self, what: dict[str, Any]) -> None:
        if self._said is not None:
            os.set_blocking(self._said, False)
            with suppress(OSError):
                os.write(self._said, json.dumps(what).encode() + b"\n")
