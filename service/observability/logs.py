"""Logs: JSON lines, or short readable ones on a terminal.

They hold no secrets, no e-mail addresses and no input. Lines go to standard error, or to the
descriptor that the parent process passes. ``CINELOG_LOG_FORMAT`` and ``CINELOG_LOG_LEVEL`` set the
format and the lowest level.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, TextIO

import orjson
import structlog

STANDARD_ERROR = 2
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Logs(NamedTuple):
    """The log settings of this process."""

    fd: int
    text: bool
    level: int


_current = Logs(STANDARD_ERROR, text=False, level=LEVELS["info"])


def current() -> Logs:
    """Return the log settings of this process."""
    return _current


def is_text(log_format: str, fd: int) -> bool:
    """Return whether lines on ``fd`` are readable text; ``auto`` is text on a terminal."""
    try:
        return log_format == "text" or (log_format == "auto" and os.isatty(fd))
    except OSError:
        return False


def configure_logs(
    log_format: str = "auto", level: str = "info", *, fd: int = STANDARD_ERROR
) -> None:
    """Write all log events of this process to ``fd``, one line each."""
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
    # The logs of libraries: warnings and worse, without the URLs in them.
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
    """Log uncaught exceptions instead of printing them."""

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
    except TypeError:  # a lone surrogate, a number of a hundred digits
        return json.dumps(event, default=default)


def json_line(event: str, **facts: object) -> str:
    """Return a line for standard output in the format of the log."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return _rendered({"event": event, **facts, "level": "info", "timestamp": at}, default=str)
