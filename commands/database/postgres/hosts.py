"""The hosts of a PostgreSQL URL: the servers of a cluster, of which one is the primary.

A server that hangs or is cut off costs a connection attempt its whole time limit. So the host that
accepted the last connection is tried first, and a silent one is left out for a moment while others
answer. libpq and psycopg try the hosts in the order of the URL.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import errors

# How long a silent host is left out. As long again, and it is asked for half of the time.
SILENT_S = 2.0
_PARTS = ("host", "hostaddr", "port")
C = TypeVar("C")


class _Host:
    def __init__(self, kwargs: dict[str, Any]) -> None:
        self.kwargs = kwargs
        self.silent_until = 0.0

    @property
    def is_silent(self) -> bool:
        return time.monotonic() < self.silent_until


class PostgresHosts:
    """The hosts of connection parameters, in the order in which they are tried. Thread-safe."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self._hosts = [_Host(one) for one in _split(kwargs)]
        self._lock = threading.Lock()

    def connect(self, attempt: Callable[[dict[str, Any]], C]) -> C:
        """Return what ``attempt`` returns for the first host for which it does not raise.

        Raises the OperationalError of the only host, or one with the messages of all.
        """
        failures: list[psycopg.OperationalError] = []
        for host in self._candidates():
            try:
                connection = attempt(host.kwargs)
            except psycopg.OperationalError as error:
                failures.append(error)
                if isinstance(error, errors.ConnectionTimeout):
                    host.silent_until = time.monotonic() + SILENT_S
            else:
                self._prefer(host)
                return connection
        if len(failures) == 1:
            raise failures[0]
        raise type(failures[-1])("; ".join(str(error) for error in failures))

    def _candidates(self) -> list[_Host]:
        with self._lock:
            return [host for host in self._hosts if not host.is_silent] or list(self._hosts)

    def _prefer(self, host: _Host) -> None:
        with self._lock:
            self._hosts.remove(host)
            self._hosts.insert(0, host)


def _split(kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of each host; a single port is that of all hosts."""
    lists = {part: str(kwargs[part]).split(",") for part in _PARTS if kwargs.get(part)}
    count = max(len(lists.get("host", ())), len(lists.get("hostaddr", ())))
    if count <= 1 or any(len(values) not in {1, count} for values in lists.values()):
        return [kwargs]
    return [
        kwargs | {part: values[number % len(values)] for part, values in lists.items()}
        for number in range(count)
    ]
