"""Logs: JSON lines, or short readable ones on a terminal.

They hold no secrets, no e-mail addresses and no input. Lines go to standard error, or to the
descriptor that a parent names. ``CINELOG_LOG_FORMAT`` and ``CINELOG_LOG_LEVEL`` decide what they
look like and which are written.
"""

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
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, TextIO

import orjson
import structlog

RETRY_S = 0.005
LAST_S = 0.1
MAX_LINES = 10_000
STANDARD_ERROR = 2
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_FILE_BYTES = 256 * 1024


class Logs(NamedTuple):
    """How this process logs."""

    fd: int
    text: bool
    level: int


_current = Logs(STANDARD_ERROR, text=False, level=LEVELS["info"])


def current() -> Logs:
    """Return how this process logs."""
    return _current


def is_text(log_format: str, fd: int) -> bool:
    """Return whether lines on ``fd`` are for people: ``auto`` takes a terminal for that."""
    try:
        return log_format == "text" or (log_format == "auto" and os.isatty(fd))
    except OSError:
        return False


def configure_logs(
    log_format: str = "auto", level: str = "info", *, fd: int = STANDARD_ERROR
) -> None:
    """Send everything that is logged in this process to ``fd``, one line each."""
    global _current  # noqa: PLW0603 - a process has one log, as structlog has one configuration
    _current = Logs(fd, is_text(log_format, fd), LEVELS[level])
    stream = sys.stderr if fd == STANDARD_ERROR else _stream(fd)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if _current.text else "iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=os.isatty(fd), pad_event_to=0)]
        if _current.text
        else [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_rendered),
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(_current.level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    # The libraries' own logs: warnings and worse, without the URLs they would print.
    handler = logging.StreamHandler(stream)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[remove, *last],
        )
    )
    logging.basicConfig(level=max(logging.WARNING, _current.level), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("sanic.error").setLevel(logging.CRITICAL)
    logging.getLogger("sanic.server").setLevel(logging.ERROR)


def warn(line: str) -> None:
    """Log a warning of a loop that must go on even if the log cannot be written."""
    with suppress(OSError):
        structlog.get_logger("cinelog").warning(line)


def log_crashes() -> None:
    """Log what nobody catches, rather than print it."""

    def crashed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        structlog.get_logger(__name__).critical("crashed", exc_info=(kind, error, trace))

    sys.excepthook = crashed


def _stream(fd: int) -> TextIO:
    return os.fdopen(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def _rendered(event: dict[str, Any], *, default: Callable[[Any], Any]) -> str:
    try:
        return orjson.dumps(event, default=default).decode()
    except TypeError:  # half a surrogate pair, a number of a hundred digits
        return json.dumps(event, default=default)


def json_line(event: str, **facts: object) -> str:
    """Return a line for standard output, of the same form as those of the log."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return _rendered({"event": event, **facts, "level": "info", "timestamp": at}, default=str)


class RequestLog:
    """The lines of answered requests, which nobody waits for.

    They are written where that does not block, in pieces that other processes' lines on the same
    pipe cannot cut. What nobody takes is kept, up to ``MAX_LINES``; ``lose`` is told how many were
    dropped. For one event loop; the lines come ready, as structlog's processors would cost a
    request more than all else that is done for it.
    """

    def __init__(self, lose: Callable[[int], None], *, fd: int = STANDARD_ERROR) -> None:
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
