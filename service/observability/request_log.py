"""The request log: requests are recorded at once, then counted and logged together.

Rendering a batch costs a fraction of rendering each line between two requests, and no request waits
for it. A process that is killed loses the last ``GATHER_S``. The lines are JSON written by hand:
structlog's processors would cost a request more than all else that is done for it
(docs/decisions/0006-what-a-request-pays.md).
"""

import asyncio
import os
import select
import stat
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus

import orjson

from service.observability.logs import LEVELS, STANDARD_ERROR, Logs
from service.observability.metrics import Metrics

GATHER_S = 0.05
RETRY_S = 0.005
LAST_S = 0.1
MAX_LINES = 10_000
_FILE_BYTES = 256 * 1024
# Time since 1970, request id, trace id, account id, client's network, method, route template,
# status, duration in seconds, position; unknown texts are empty. It contains no input.
# A tuple of plain values: the garbage collector untracks it on first sight.
AccessRecord = tuple[float, str, str, str, str, str, str, int, float, str]


class RequestLogBuffer:
    """Counts and logs requests, for one event loop."""

    def __init__(self, metrics: Metrics, logs: Logs) -> None:
        self._metrics = metrics
        self._writer = LineWriter(metrics.log_lines_lost, fd=logs.fd)
        self._line = _text_line if logs.text else _line
        self._all = logs.level <= LEVELS["info"]
        self._none = logs.level > LEVELS["error"]
        self._entries: list[AccessRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, entry: AccessRecord) -> None:
        """Record a request."""
        self._entries.append(entry)
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Count and log the recorded requests."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        groups: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        for _, _, _, _, _, method, route, status, took_s, _ in entries:
            groups[route, method, status].append(took_s)
        for (route, method, status), took in groups.items():
            self._metrics.observe(route, method, status, took)
        if not self._all:
            entries = [] if self._none else [entry for entry in entries if _failed(entry[7])]
        self._writer.write(list(map(self._line, entries)))

    def close(self) -> None:
        """Count and log the last requests."""
        self.flush()
        self._writer.close()


def _failed(status: int) -> bool:
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _text_line(entry: AccessRecord) -> bytes:
    """Return a readable line."""
    at, request_id, _, _, _, method, route, status, took_s, _ = entry
    clock = time.strftime("%H:%M:%S", time.gmtime(at))
    return f"{clock} {status} {method} {route} {took_s * 1000:.1f} ms {request_id}\n".encode()


def _line(entry: AccessRecord) -> bytes:
    """Return the JSON line. Values between quotes need no escaping: none of them is input."""
    at, request_id, trace_id, account, client, method, route, status, took_s, position = entry
    line = (
        f'{{"event":"request",{_kind(method, route, status)},"timestamp":"{_time(at)}"'
        f',"request_id":"{request_id}","duration_ms":{took_s * 1000:.3f},"client":"{client}"'
    )
    if account:
        line += f',"account":"{account}"'
    if position:
        line += f',"position":{position}'
    if trace_id:
        line += f',"trace_id":"{trace_id}"'
    return f"{line}}}\n".encode()


@lru_cache(1_024)
def _kind(method: str, route: str, status: int) -> str:
    facts = {
        "level": "error" if _failed(status) else "info",
        "method": method,
        "route": route,
        "status": status,
    }
    return orjson.dumps(facts)[1:-1].decode()


def _time(at: float) -> str:
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1e6):06}Z"


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class LineWriter:
    """Writes lines without blocking, for one event loop.

    Lines are written in pieces that other processes' lines on the same pipe cannot split. Lines
    that the reader does not take are kept, up to ``MAX_LINES``; ``on_lost`` is called with the
    number of dropped ones.
    """

    def __init__(self, on_lost: Callable[[int], None], *, fd: int = STANDARD_ERROR) -> None:
        self._on_lost = on_lost
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._piece = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, now or as soon as the reader takes them."""
        taken = lines[: MAX_LINES - len(self._lines)]
        if len(taken) < len(lines):
            self._on_lost(len(lines) - len(taken))
        self._lines.extend(taken)
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        if not self._write_until(time.monotonic()):
            self._timer = self._loop.call_later(RETRY_S, self._flush)

    def _write_until(self, until: float) -> bool:
        """Write lines until the time ``until``; return whether all are written."""
        while self._piece or self._lines:
            if not self._piece:
                self._piece = self._next_piece()
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return False
            try:
                os.write(self._fd, self._piece)
            except BlockingIOError:
                return False
            except OSError:
                # A full disk, or a reader that has gone.
                self._on_lost(self._piece.count(b"\n"))
            self._piece = b""
        return True

    def _next_piece(self) -> bytes:
        """Take as many lines as fit into one piece, at least one."""
        most = _FILE_BYTES if self._is_file else select.PIPE_BUF
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= most:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    def close(self) -> None:
        """Write the remaining lines, for ``LAST_S`` at most."""
        if self._timer:
            self._timer.cancel()
        self._write_until(time.monotonic() + LAST_S)
