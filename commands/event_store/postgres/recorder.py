"""The event store for more than one machine: PostgreSQL."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg.sql import SQL

from commands.database.breaker import Breaker
from commands.database.commit_watch import CommitWatch
from commands.database.damage import Damage
from commands.database.deadline import left_s, time_left_s
from commands.database.postgres.pool import (
    TIMEOUT_S,
    BoundedConnection,
    BoundedPool,
    LateError,
)
from commands.errors import EventStoreUnavailableError, OutcomeUnknownError
from commands.event_store import floors
from commands.event_store.event_codec import Row
from commands.event_store.postgres.rows import PostgresRows

# Advisory locks, the same in every release of Cinelog.
_CREATING = 0x43494E454C4F47
_WRITING = _CREATING + 1
_LOCK = SQL("SELECT pg_advisory_xact_lock({})").format(_WRITING).as_string()
_LOCK_TABLE = "LOCK TABLE cinelog_events IN EXCLUSIVE MODE"
_EPOCHS = (
    "CREATE TABLE IF NOT EXISTS cinelog_epochs "
    "(log text NOT NULL, epoch bigint PRIMARY KEY, parent bigint, shared bigint NOT NULL)"
)
_COLUMNS = attrgetter("originator_id", "originator_version", "topic", "state")
# Columns in binary cost less than the library's array of a composite type, which is text.
_INSERT = (
    "INSERT INTO cinelog_events (originator_id, originator_version, topic, state)"
    " SELECT * FROM unnest(%b::uuid[], %b::int8[], %b::text[], %b::bytea[])"
    " RETURNING notification_id"
)
# The wait for a standby has no limit on the server: to cancel it would show an unconfirmed event to
# readers. The warning that somebody else cancelled it must reach this client. A database or a user
# may be set to lose the last commits of a crash.
_COMMIT = (
    "SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning;"
    " SELECT set_config('synchronous_commit', 'on', true)"
    " WHERE current_setting('synchronous_commit')='off'; COMMIT"
)
_PROBE_READ = (
    "BEGIN READ ONLY; SET LOCAL lock_timeout = 800; SELECT 1 FROM cinelog_events LIMIT 1; COMMIT"
)
# All that an append needs: the writer lock, the table, and a commit that standbys must confirm.
_PROBE = (
    "BEGIN; SET LOCAL lock_timeout = 800; SET LOCAL statement_timeout = 1000;"
    " SET LOCAL client_min_messages = warning;"
    f" {_LOCK}; {_LOCK_TABLE}; "
    "SELECT pg_logical_emit_message(true, 'cinelog', 'probe'); COMMIT"
)
# Writes something that standbys must confirm, and with it all before it.
_CONFIRM = (
    "SELECT pg_logical_emit_message(true, 'cinelog', 'confirm')"
    " WHERE current_setting('synchronous_standby_names')<>''"
)
# No commit is requested with less time left: its outcome would not be known.
_COMMIT_S = 0.3
# Classes of SQLSTATE that a rolled back COMMIT returns, and the member of one that means unknown.
_ROLLED_BACK, _UNKNOWN = ("23", "40"), "40003"
_RESTORE = (
    "COPY cinelog_events (notification_id, originator_id, originator_version, topic, state) "
    "FROM STDIN (FORMAT BINARY)"
)


class PostgresRecorder(PostgresRows):
    """A recorder that writes under an advisory lock and tells failed commits from unknown ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._here = threading.local()
        self.commits = CommitWatch()
        self.writes = Breaker("event store for writers", self._probe, EventStoreUnavailableError)
        """Open while appends are known to fail: another session locks, a standby is silent."""
        self._pool.probe = _PROBE_READ
        self.damage = Damage()
        """The known damage of the table."""

    def close(self) -> None:
        """Stop probing."""
        self.writes.close()

    @contextmanager
    def _writing(self) -> Iterator[BoundedConnection]:
        """Yield this thread's connection with the writer lock, else one to take it with.

        Raises EventStoreUnavailableError if writes fail.
        """
        self.writes.check()
        if (locked := getattr(self._here, "locked", None)) is not None:
            self._pool.reuse(locked)
        with self.datastore.get_connection() as pooled:
            connection = cast("BoundedConnection", pooled)
            connection.is_writing = True
            try:
                yield connection
            except psycopg.errors.LockNotAvailable:
                self.writes.trip("another session holds the lock")
                raise

    def _probe(self) -> None:
        with self._pool.checkout() as connection, connection.warnings() as warnings:
            connection.timeout_s = 2.0
            connection.execute(_PROBE)
            if warnings:
                raise OutcomeUnknownError

    @contextmanager
    def writer_lock(self) -> Iterator[BoundedConnection]:
        """Exclude every other writer until an append commits; may be nested in a thread.

        Yields the connection that has the lock. After an append, nesting takes it again. A lost
        connection releases it, and then nothing can be appended under it.
        """
        is_outer = getattr(self._here, "locked", None) is None
        with self._writing() as connection:
            _begin_writing(connection)
            if not is_outer:
                yield connection
                return
            self._here.locked = connection
            try:
                yield connection
            finally:
                self._here.locked = None
                with suppress(psycopg.Error):
                    _roll_back(connection)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append in the transaction that has the writer lock, and return the positions.

        The lock is held through the commit, so positions are committed in order. Raises
        OutcomeUnknownError if a requested commit was not confirmed.
        """
        if not stored_events:
            return []
        columns = [list(column) for column in zip(*map(_COLUMNS, stored_events), strict=True)]
        with self.writer_lock() as connection:
            # Not with the lock above: who waits for it would not know that reads wait as well. No
            # pipeline: its last message would end the server's timeout for idle transactions.
            connection.execute(_LOCK_TABLE)
            with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
                cursor.execute(_INSERT, columns, prepare=True)
                positions = [position for (position,) in cursor.fetchall()]
            self._commit(connection)
        return positions

    def confirm(self) -> None:
        """Wait until the required standbys have all that was read under the writer lock.

        An earlier commit whose wait was cancelled may be on this server only. Raises
        OutcomeUnknownError if they do not confirm it in time.
        """
        with self.writer_lock() as connection:
            connection.execute(_CONFIRM)
            self._commit(connection)

    def _commit(self, connection: BoundedConnection) -> None:
        if left_s(_COMMIT_S) < _COMMIT_S:
            raise LateError("no time is left to commit")
        try:
            with self.commits.watching():
                _commit(connection)
        except OutcomeUnknownError:
            self.writes.trip("a commit was not confirmed")
            raise

    def create_table(self) -> None:
        """Create what is missing, one process at a time: two at once can crash."""
        with self.datastore.get_connection() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_CREATING,))
            try:
                super().create_table()
                connection.execute(_EPOCHS)
                connection.execute(floors.CREATE)
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_CREATING,))

    def raise_floor(self, read_model: str, generation: int) -> None:
        """Store the floor of a read model unless it is lower than the stored one."""
        with self.datastore.get_connection() as connection:
            connection.execute(floors.POSTGRES_RAISE, (read_model, generation))

    def replace_epochs(self, epochs: Sequence[tuple[Any, ...]]) -> None:
        """Replace all epochs. Raises OutcomeUnknownError if the commit was not confirmed.

        A primary that was replaced cannot confirm it, so an epoch begun there is none.
        """
        with self.datastore.get_connection() as pooled:
            connection = cast("BoundedConnection", pooled)
            connection.execute("BEGIN")
            with connection.cursor() as cursor:
                _replace(cursor, epochs)
            _commit(connection)

    def restore_rows(
        self, batches: Iterable[Sequence[Row]], epochs: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Insert all rows and replace all epochs; return False if the log is not empty."""
        with self.datastore.get_connection() as pooled:
            connection = cast("BoundedConnection", pooled)
            connection.timeout_s = None  # one statement may write a whole log
            with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
                cursor.execute(_LOCK_TABLE)
                if cursor.execute("SELECT 1 FROM cinelog_events LIMIT 1").fetchone():
                    return False
                cursor.execute("SET LOCAL statement_timeout = 0")
                last = 0
                with cursor.copy(_RESTORE) as copy:
                    copy.set_types(["int8", "uuid", "int8", "text", "bytea"])
                    for batch in batches:
                        for position, stream_id, *fields in batch:
                            copy.write_row((position, UUID(stream_id), *fields))
                        last = batch[-1][0]
                _replace(cursor, epochs)
                if last:
                    # A sequence is not transactional: at worst an empty log begins later.
                    cursor.execute(
                        "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)",
                        ("cinelog_events", last),
                    )
        return True


def _begin_writing(connection: BoundedConnection) -> None:
    """Take the writer lock, unless the connection has it."""
    if connection.info.transaction_status != TransactionStatus.INTRANS:
        _roll_back(connection)
        # In a transaction, so that a stopped process loses the lock.
        connection.execute(f"BEGIN; {_LOCK}")


def _roll_back(connection: BoundedConnection) -> None:
    if connection.info.transaction_status != TransactionStatus.IDLE:
        connection.execute("ROLLBACK")


def _commit(connection: BoundedConnection) -> None:
    """Commit, waiting until the deadline of this thread.

    Raises OutcomeUnknownError if it is not confirmed. PostgreSQL ends a cancelled wait for a
    standby with success and a warning: the transaction may be on one server only.
    """
    connection.timeout_s = time_left_s(TIMEOUT_S)
    try:
        with connection.warnings() as warnings, connection.cursor() as cursor:
            cursor.execute(_COMMIT)
            cursor.set_result(-1)
            status = cursor.statusmessage
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state.startswith(_ROLLED_BACK) and state != _UNKNOWN:
            raise
        raise OutcomeUnknownError(type(error).__name__) from error
    finally:
        connection.timeout_s = TIMEOUT_S
    if status != "COMMIT":
        raise OperationalError(f"the transaction ended with {status}")
    if warnings:
        raise OutcomeUnknownError(f"it was confirmed with a warning: {warnings[0]}")


def _replace(cursor: psycopg.Cursor[Any], epochs: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute(_EPOCHS)
    cursor.execute("DELETE FROM cinelog_epochs")
    cursor.executemany(
        "INSERT INTO cinelog_epochs (log, epoch, parent, shared) VALUES (%s, %s, %s, %s)",
        list(epochs),
    )


class Factory(PostgresFactory):
    """Builds a PostgresRecorder; ``POSTGRES_URL`` may have all options of libpq."""

    application_recorder_class = PostgresRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get("POSTGRES_URL") or ""
        self.datastore.pool = BoundedPool.of_url(url)  # type: ignore[assignment]
