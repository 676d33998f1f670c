"""Logs: one JSON object a line on standard error. No secrets, no e-mail addresses, no input."""

import asyncio
import json
import logging
import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import structlog

RETRY_S = 0.005
LAST_S = 0.1
MAX_LINES = 10_000
_FILE_BYTES = 256 * 1024


def configure_logs() -> None:
    """Send everything that is logged in this process to standard error as JSON lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_rendered),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # The libraries' own logs: warnings and worse, without the URLs they would print.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("sanic.error").setLevel(logging.CRITICAL)
    logging.getLogger("sanic.server").setLevel(logging.ERROR)


def _rendered(event: dict[str, Any], *, default: Callable[[Any], Any]) -> str:
    try:
        return orjson.dumps(event, default=default).decode()
    except TypeError:  # half a surrogate pair, a number of a hundred digits
        return json.dumps(event, default=default)


class RequestLog:
    """The lines of answered requests, which nobody waits for.

    They are written where that does not block, in pieces that other processes' lines on the same
    pipe cannot cut. What nobody takes is kept, up to ``MAX_LINES``; ``lose`` is told how many were
    dropped. For one event loop; the lines come ready, as structlog's processors would cost a
    request more than all else that is done for it.
    """

    def __init__(self, lose: Callable[[float], None], *, fd: int = 2) -> None:
        self._lose = lose
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._piece = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, now or as soon as somebody takes them."""
        taken = lines[: MAX_LINES - len(self._lines)]
        if len(taken) < len(lines):
            self._lose(len(lines) - len(taken))
        self._lines.extend(taken)
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        if not self._put(time.monotonic()):
            self._timer = self._loop.call_later(RETRY_S, self._flush)

    def _put(self, until: float) -> bool:
        """Write what can be written before ``until``; True where that was all."""
        while self._piece or self._lines:
            if not self._piece:
                self._piece = self._gather()
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return False
            try:
                os.write(self._fd, self._piece)
            except BlockingIOError:
                return False
            except OSError:
                # A full disk, a reader that has gone: nothing to be done here.
                self._lose(self._piece.count(b"\n"))
            self._piece = b""
        return True

    def _gather(self) -> bytes:
        """Take as many lines as go out in one piece, one at least."""
        most = _FILE_BYTES if self._is_file else select.PIPE_BUF
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= most:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    def close(self) -> None:
        """Write what is left, with a little patience."""
        if self._timer:
            self._timer.cancel()
        self._put(time.monotonic() + LAST_S)
