"""Connections to PostgreSQL with a time limit on every call.

A stopped server honours none of its own timeouts, so each call has a limit here, and a connection
that exceeds it is closed. Callers connect by themselves: a server that refuses is noticed at once,
and no caller waits for a pause between attempts.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from commands.database.breaker import Breaker
from commands.database.deadline import left_s
from commands.database.postgres.hosts import PostgresHosts
from commands.errors import EventStoreUnavailableError

# The server's own limits end first: they leave a usable connection.
_OPTIONS = (
    "-c lock_timeout=2500 -c statement_timeout=3000 -c idle_in_transaction_session_timeout=2500"
)
_CONNECT_S = 2
_KEEPALIVE = {
    # The kernel notices a host that is gone and sends nothing.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
TIMEOUT_S = 3.5
_SIZE = 10
_MAX_AGE_S = 3_600.0
# The failure of a call with less time says nothing about the server.
_TELLING_S = 1.0
# Classes of SQLSTATE of a lost connection, and of a server that is going down or coming up.
_AWAY = ("08", "57")


class LateError(psycopg.OperationalError):
    """The deadline of the caller has passed."""


class BoundedConnection(psycopg.Connection[DictRow]):
    """A connection that is closed if the server does not answer in time."""

    timeout_s: float | None = TIMEOUT_S
    """The limit on one call; None for no limit."""
    is_writing = False
    """Whether a lock that is not granted in time affects writers only."""
    created_at_s = 0.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Carry out one exchange with the server. Raises OperationalError after the time limit."""
        if timeout is not None or self.timeout_s is None:
            return super().wait(gen, interval, timeout)
        limit_s = left_s(self.timeout_s)
        try:
            return super().wait(gen, interval, limit_s)
        except errors._WaitTimeout:  # noqa: SLF001 - psycopg leaves its translation to callers
            # A late answer must not be taken for that of the next call.
            self.close()
            kind = LateError if limit_s < _TELLING_S else psycopg.OperationalError
            raise kind("the server does not answer in time") from None

    @contextmanager
    def warnings(self) -> Iterator[list[str | None]]:
        """Yield the SQLSTATEs of the warnings that the server sends meanwhile."""
        states: list[str | None] = []

        def collect(warning: errors.Diagnostic) -> None:
            states.append(warning.sqlstate)

        self.add_notice_handler(collect)
        try:
            yield states
        finally:
            self.remove_notice_handler(collect)

    @property
    def is_usable(self) -> bool:
        """Whether it can be used again; a server that closed it has sent something."""
        if self.closed or self.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0) and time.monotonic() - self.created_at_s < _MAX_AGE_S


class BoundedPool:
    """At most ``size`` connections, made on demand. Safe to share between threads.

    Replaces the pool of ``psycopg_pool``, whose pauses between attempts grow.
    """

    def __init__(
        self, kwargs: dict[str, Any], *, size: int = _SIZE, part: str = "event store"
    ) -> None:
        self._hosts = PostgresHosts(kwargs)
        self._idle: list[BoundedConnection] = []
        self._used = 0
        self._size = size
        self._free = threading.Condition()
        self._here = threading.local()
        self._is_closed = False
        self.probe = "SELECT 1"
        """The query that shows that the server can be read."""
        self.breaker = Breaker(part, self._probe, EventStoreUnavailableError)
        self.breaker.on_open(self._wake_waiting)
        self.breaker.on_open(self._drop_idle)

    @classmethod
    def of_url(cls, url: str, *, part: str = "event store") -> "BoundedPool":
        """Return a pool for a URL of libpq, whose options take precedence over the defaults."""
        given = conninfo_to_dict(url)
        options = f"{_OPTIONS} {given.get('options') or ''}".strip()
        own = {"options": options, "connect_timeout": _CONNECT_S}
        return cls({**_KEEPALIVE, **given, **own}, part=part)

    def open(self, *_: Any) -> None:
        """Do nothing: connections are made on demand."""

    @contextmanager
    def connection(self) -> Iterator[BoundedConnection]:
        """Yield a connection. Raises EventStoreUnavailableError while the server is known away."""
        pinned: BoundedConnection | None = getattr(self._here, "pinned", None)
        if pinned is not None:
            limit_s = pinned.timeout_s
            try:
                with self._noticing_outages(pinned):
                    yield pinned
            finally:
                pinned.timeout_s = limit_s
            return
        reused: BoundedConnection | None = self._here.__dict__.pop("next", None)
        self.breaker.check()
        with (
            nullcontext(reused) if reused else self.checkout() as connection,
            self._noticing_outages(connection),
        ):
            yield connection

    @contextmanager
    def pinned(self) -> Iterator[BoundedConnection]:
        """Yield a connection that this thread uses for every call meanwhile. Not to be nested."""
        with self.connection() as connection:
            self._here.pinned = connection
            try:
                yield connection
            finally:
                self._here.pinned = None

    @contextmanager
    def _noticing_outages(self, connection: BoundedConnection) -> Iterator[None]:
        try:
            yield
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if _is_away(error, writing=connection.is_writing):
                self.breaker.trip(type(error).__name__)
            raise

    def reuse(self, connection: BoundedConnection) -> None:
        """Let the next call of this thread get ``connection``, which it has checked out."""
        self._here.next = connection

    @contextmanager
    def checkout(self) -> Iterator[BoundedConnection]:
        """Yield a connection, whatever the breaker says."""
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def close(self, timeout: float = 0.0) -> None:  # noqa: ARG002 - the library's signature
        """Close idle connections, and the others when they are given back."""
        self.breaker.close()
        with self._free:
            self._is_closed = True
            self._free.notify_all()
        self._drop_idle()

    def _take(self) -> BoundedConnection:
        if (timeout_s := left_s(TIMEOUT_S)) <= 0:
            raise LateError("no time is left")
        ends = time.monotonic() + timeout_s
        with self._free:
            while self._used >= self._size:
                if self._is_closed or (left := ends - time.monotonic()) <= 0:
                    raise errors.TooManyConnections("no connection was free in time")
                self._free.wait(left)
                self.breaker.check()
            if self._is_closed:
                raise psycopg.OperationalError("the pool is closed")
            self._used += 1
        try:
            return self._take_idle() or self._connect()
        except BaseException:
            self._release()
            raise

    def _take_idle(self) -> BoundedConnection | None:
        while True:
            with self._free:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()

    def _connect(self) -> BoundedConnection:
        try:
            connection = self._hosts.connect(
                lambda kwargs: BoundedConnection.connect(
                    **{"row_factory": dict_row, "autocommit": True, **kwargs}
                )
            )
        except psycopg.OperationalError as error:
            if "too many" not in str(error):  # others may be given back
                self.breaker.trip(type(error).__name__)
            raise
        connection.created_at_s = time.monotonic()
        return connection

    def _give_back(self, connection: BoundedConnection) -> None:
        connection.timeout_s, connection.is_writing = TIMEOUT_S, False
        if not connection.is_usable:
            connection.close()
        with self._free:
            if not connection.closed and not self._is_closed:
                self._idle.append(connection)
                self._used -= 1
                self._free.notify()
                return
        connection.close()
        self._release()

    def _release(self) -> None:
        with self._free:
            self._used -= 1
            self._free.notify()

    def _wake_waiting(self) -> None:
        with self._free:
            self._free.notify_all()

    def _drop_idle(self) -> None:
        """Close the idle connections: those to a server that is cut off look usable for long."""
        with self._free:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _probe(self) -> None:
        """Read as every reader does. A table that another session locks counts as away, too."""
        with self.checkout() as connection, suppress(psycopg.ProgrammingError):  # it does answer
            connection.timeout_s = 1.5
            connection.execute(self.probe)


def _is_away(error: psycopg.Error, *, writing: bool) -> bool:
    """Return whether the next call would fail as well."""
    if isinstance(error, LateError | errors.TooManyConnections | errors.QueryCanceled):
        return False
    if isinstance(error, errors.LockNotAvailable):
        return not writing
    return error.sqlstate is None or error.sqlstate.startswith(_AWAY)
