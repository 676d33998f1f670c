"""Connections to PostgreSQL that never make a caller wait for longer than was agreed.

A server that is stopped honours none of its own timeouts, so each call has a deadline here, and a
connection that misses it is closed. Callers connect by themselves: a server that refuses is told of
at once, and none of them waits for a pause between attempts to end.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Composed

from commands.database.breaker import Breaker
from commands.database.deadline import left_s
from commands.errors import EventStoreUnavailableError

# The server's own bounds come first: they leave a connection that can be used again.
LOCK_MS, STATEMENT_MS, IDLE_IN_TRANSACTION_MS = 2_500, 3_000, 2_500
PATIENCE_S = 3.5
CONNECT_S = 2
_MAX_AGE_S = 3_600.0
# A call that was given less time than this says nothing about the server.
_TELLING_S = 1.0


class LateError(psycopg.OperationalError):
    """The deadline of the caller has passed."""


# SQLSTATEs that say that the server is away: it lost the connection, or is going down or coming up.
_AWAY = ("08", "57")


class BoundedConnection(psycopg.Connection[DictRow]):
    """A connection that is closed when the server does not answer in time."""

    patience_s: float | None = PATIENCE_S
    """How long one call may take; None for as long as it likes."""
    writing = False
    """Whether a lock that is not granted in time holds up writers only."""
    born = 0.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Carry out one exchange with the server. Raises OperationalError past the deadline."""
        if timeout is not None or self.patience_s is None:
            return super().wait(gen, interval, timeout)
        given_s = left_s(self.patience_s)
        try:
            return super().wait(gen, interval, given_s)
        except errors._WaitTimeout:  # noqa: SLF001 - psycopg leaves its translation to callers
            # Its answer, if it still comes, must not be taken for that of the next question.
            self.close()
            kind = LateError if given_s < _TELLING_S else psycopg.OperationalError
            raise kind("the server does not answer in time") from None

    @property
    def usable(self) -> bool:
        """Whether it can be used again; a server that closed it has sent something."""
        if self.closed or self.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0) and time.monotonic() - self.born < _MAX_AGE_S


class BoundedPool:
    """At most ``size`` connections, made when they are needed. Safe to share between threads.

    It stands in for the pool of ``psycopg_pool``, whose pauses between attempts grow.
    """

    def __init__(self, kwargs: dict[str, Any], *, size: int) -> None:
        self.kwargs = kwargs
        self._idle: list[BoundedConnection] = []
        self._used = 0
        self._size = size
        self._free = threading.Condition()
        self._closed = False
        self.probe: Composed = SQL("SELECT 1").format()
        """What shows that the server can be read."""
        self.breaker = Breaker("event store", self._probe, EventStoreUnavailableError)
        self.breaker.on_open(self._wake_all)

    def open(self, *_: Any) -> None:
        """Do nothing: connections are made when they are needed."""

    @contextmanager
    def connection(self) -> Iterator[BoundedConnection]:
        """Lend a connection.

        Raises EventStoreUnavailableError at once while the server is known to be away.
        """
        self.breaker.check()
        with self.lend() as connection:
            try:
                yield connection
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if _is_away(error, writing=connection.writing):
                    self.breaker.trip(type(error).__name__)
                raise

    @contextmanager
    def lend(self) -> Iterator[BoundedConnection]:
        """Lend a connection, though the server may be known to be away."""
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def close(self, timeout: float = 0.0) -> None:  # noqa: ARG002 - the library's word
        """Close what is not in use, and the rest when it is given back."""
        self.breaker.close()
        with self._free:
            self._closed = True
            idle, self._idle = self._idle, []
            self._free.notify_all()
        for connection in idle:
            connection.close()

    def _take(self) -> BoundedConnection:
        if (patience_s := left_s(PATIENCE_S)) <= 0:
            raise LateError("no time is left")
        ends = time.monotonic() + patience_s
        with self._free:
            while self._used >= self._size:
                if self._closed or (left := ends - time.monotonic()) <= 0:
                    raise errors.TooManyConnections("no connection was free in time")
                self._free.wait(left)
                self.breaker.check()
            if self._closed:
                raise psycopg.OperationalError("the pool is closed")
            self._used += 1
        try:
            return self._idle_one() or self._connect()
        except BaseException:
            self._release()
            raise

    def _idle_one(self) -> BoundedConnection | None:
        while True:
            with self._free:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()

    def _connect(self) -> BoundedConnection:
        try:
            connection = BoundedConnection.connect(
                **{"row_factory": dict_row, "autocommit": True, **self.kwargs}
            )
        except psycopg.OperationalError as error:
            if "too many" not in str(error):  # others may be given back
                self.breaker.trip(type(error).__name__)
            raise
        connection.born = time.monotonic()
        return connection

    def _give_back(self, connection: BoundedConnection) -> None:
        connection.patience_s, connection.writing = PATIENCE_S, False
        if not connection.usable:
            connection.close()
        with self._free:
            if not connection.closed and not self._closed:
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

    def _wake_all(self) -> None:
        with self._free:
            self._free.notify_all()

    def _probe(self) -> None:
        """Ask for what every reader needs. A table that another session locks is away, too."""
        with self.lend() as connection, suppress(psycopg.ProgrammingError):  # it does answer
            connection.patience_s = 1.5
            connection.execute(self.probe)


def _is_away(error: psycopg.Error, *, writing: bool) -> bool:
    """Tell whether an error says that the next call would fail as well."""
    if isinstance(error, LateError | errors.TooManyConnections | errors.QueryCanceled):
        return False
    if isinstance(error, errors.LockNotAvailable):
        return not writing
    return error.sqlstate is None or error.sqlstate.startswith(_AWAY)
