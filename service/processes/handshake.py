"""The handshake, from the side of a child: it gets a startup message and reports its status.

``managed_process.py`` is the side of the parent.
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
# At the first start, an unreachable part means a wrong setting.
VARIABLES = {"event store": "CINELOG_EVENT_STORE_URL", "read model": "CINELOG_REDIS_URL"}


@dataclass(frozen=True)
class StartupMessage:
    """The parent's instructions to a child."""

    settings: Settings
    first: bool
    """Whether the service is starting: then the child refuses to work with a missing part."""
    accept_log: bool = False
    """Whether any log may replace the one that was served before."""
    log_fd: int = 2
    """Descriptor for log lines. The parent wraps all other output into log lines."""

    def configure_logs(self) -> None:
        """Log as the settings and the parent say."""
        configure_logs(self.settings.log_format, self.settings.log_level, fd=self.log_fd)


class WorkerHandshake:
    """Reports on ``status_fd``; the child makes it first."""

    def __init__(self, status_fd: int) -> None:
        self._status_fd = status_fd
        self._is_ready = False

    def receive(self) -> StartupMessage:
        """Wait for the startup message, then die with the parent."""
        line = b""
        while not line.endswith(b"\n"):
            if not (more := os.read(0, 65536)):
                raise SystemExit(0)
            line += more
        message: dict[str, Any] = json.loads(line)
        if not die_with_parent(message["parent"]):
            Thread(target=die_with_stdin, name="parent", daemon=True).start()
        settings = Settings.model_validate(message["settings"])
        accept_log = message.get("accept_log", False)
        return StartupMessage(settings, message["first"], accept_log, message.get("log_fd", 2))

    def send_ready(self) -> None:
        """Report that the work has begun."""
        self._is_ready = True
        self._send({"ready": True})

    def send_heartbeat(self) -> None:
        """Report that the process runs; due every ``HEARTBEAT_S`` after the first one."""
        with suppress(OSError):  # the pipe is full because the parent is stopped
            os.write(self._status_fd, b".")

    def send_refusal(self, error: CinelogError) -> int:
        """Report why the work cannot begin, and return the exit code."""
        if not isinstance(error, ConfigurationError):
            part = error.part if isinstance(error, UnavailableError) else ""
            error = ConfigurationError(VARIABLES.get(part, "CINELOG_*"), str(error))
        if self._is_ready:  # an error at work, after which the parent starts it again
            sys.stderr.write(f"cinelog: {error}\n")
            return 1
        self._send({"variable": error.variable, "problem": error.problem})
        return 2

    def _send(self, status: dict[str, Any]) -> None:
        os.set_blocking(self._status_fd, False)
        with suppress(OSError):
            os.write(self._status_fd, json.dumps(status).encode() + b"\n")
