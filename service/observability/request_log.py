"""What became of requests: taken down at once, counted and logged together a little later.

Doing so for many in a row costs a fraction of doing so between two of them, and none has to wait.
A process that is killed loses the last ``GATHER_S`` of both.
"""

import asyncio
import time
from collections import defaultdict
from functools import lru_cache
from http import HTTPStatus

import orjson

from service.observability.logs import LEVELS, Logs, RequestLog
from service.observability.metrics import Metrics

GATHER_S = 0.05
# Time since 1970, request id, trace id, account id, client's network, method, route template,
# status, duration in seconds, position; texts are empty where there is none. No input is in it.
# A plain tuple of plain values: the garbage collector looks at it once and never again.
AccessRecord = tuple[float, str, str, str, str, str, str, int, float, str]


class RequestLogBuffer:
    """Counts and logs requests, for one event loop."""

    def __init__(self, metrics: Metrics, log: RequestLog, logs: Logs) -> None:
        self._metrics = metrics
        self._log = log
        self._line = _text_line if logs.text else _line
        self._all = logs.level <= LEVELS["info"]
        self._none = logs.level > LEVELS["error"]
        self._entries: list[AccessRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, entry: AccessRecord) -> None:
        """Take down a request."""
        self._entries.append(entry)
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self.settle)

    def settle(self) -> None:
        """Count and log what was taken down."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        alike: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        for _, _, _, _, _, method, route, status, took_s, _ in entries:
            alike[route, method, status].append(took_s)
        for (route, method, status), took in alike.items():
            self._metrics.observe(route, method, status, took)
        if not self._all:
            entries = [] if self._none else [entry for entry in entries if _failed(entry[7])]
        self._log.write(list(map(self._line, entries)))


def _failed(status: int) -> bool:
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _text_line(entry: AccessRecord) -> bytes:
    """Return the line for a person."""
    at, request_id, _, _, _, method, route, status, took_s, _ = entry
    clock = time.strftime("%H:%M:%S", time.gmtime(at))
    return f"{clock} {status} {method} {route} {took_s * 1000:.1f} ms {request_id}\n".encode()


def _line(entry: AccessRecord) -> bytes:
    """Return the log line. What is set between quotes here is of harmless letters only."""
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
