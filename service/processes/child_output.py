"""What a child prints beside its log: a traceback, a warning, the last words of a crash.

It comes over a pipe and is wrapped into log lines, so that every line of the log is JSON.
"""

import os
import select
from contextlib import suppress
from threading import Thread

import orjson
import structlog

# What comes within so short a time, and is not longer, is one line: a traceback is told whole.
TOGETHER_S, MAX_BYTES = 0.1, 65_536
_CRASHES = ("Traceback (most recent call last)", "Fatal Python error")


def wrap_output(name: str) -> int:
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
