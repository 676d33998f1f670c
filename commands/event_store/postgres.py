"""The event store for more than one machine: PostgreSQL."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed, Identifier

from commands.database.breaker import Breaker
from commands.database.damage import Damage
from commands.database.deadline import left_s
from commands.database.postgres_pages import check_pages, count_both, select_torn
from commands.database.postgres_pool import (
    CONNECT_S,
    IDLE_IN_TRANSACTION_MS,
    LOCK_MS,
    STATEMENT_MS,
    BoundedConnection,
    BoundedPool,
    LateError,
)
from commands.errors import EventStoreUnavailableError, OutcomeUnknownError

# Advisory locks, the same in every Cinelog: who creates the tables, whose turn it is to write.
_CREATING = 0x43494E454C4F47
_WRITING = _CREATING + 1
# Connections of one process.
_SIZE = 10
_SELECT = SQL("SELECT notification_id, originator_id, originator_version, topic, state FROM {log} ")
_COUNT = SQL("SELECT count(*) AS n FROM {log}")
_EPOCHS = SQL(
    "CREATE TABLE IF NOT EXISTS cinelog_epochs "
    "(log text NOT NULL, epoch bigint PRIMARY KEY, parent bigint, shared bigint NOT NULL)"
)
_KNOWN_AND_LAST = SQL("WHERE notification_id IN (%s, (SELECT max(notification_id) FROM {log}))")
_CONTINUITY = SQL(
    "WITH newest AS (SELECT log, epoch FROM cinelog_epochs ORDER BY epoch DESC LIMIT 1), "
    "events AS ({select} {known_and_last}) "
    "SELECT newest.log, newest.epoch, events.* FROM newest FULL JOIN events ON true"
)
_BEGIN_TURN = SQL("BEGIN; SELECT pg_advisory_xact_lock({writing})").format(writing=_WRITING)
_BEGIN_APPEND = SQL("BEGIN; LOCK TABLE {log} IN EXCLUSIVE MODE")
_PROBE_READ = SQL(
    "BEGIN READ ONLY; SET LOCAL lock_timeout = 800; SELECT 1 FROM {log} LIMIT 1; COMMIT"
)
# What every append needs: its turn, the table, and a commit that standbys have to confirm.
_PROBE = SQL(
    "BEGIN; SET LOCAL lock_timeout = 800; SET LOCAL statement_timeout = 1000;"
    " SELECT pg_advisory_xact_lock({writing}); LOCK TABLE {log} IN EXCLUSIVE MODE;"
    " SELECT pg_logical_emit_message(true, 'cinelog', 'probe'); COMMIT"
)
# With less time left than this, a commit is not asked for: its outcome would not be known.
_COMMIT_S = 0.3
# Answers to a COMMIT that say that it was rolled back: classes of SQLSTATE.
_ROLLED_BACK = ("23", "40")
_ONLY_HERE = "01000"
"""SQLSTATE of the warning that a commit was not confirmed by the standbys that have to."""
_RESTORE = SQL(
    "COPY {log} (notification_id, originator_id, originator_version, topic, state) "
    "FROM STDIN (FORMAT BINARY)"
)


class PostgresRecorder(PostgresApplicationRecorder):
    """A recorder that fails at once where the library would try ten times.

    Its callers decide what a failure means: the executor must know that an append may have
    happened, the projection has its own pauses, and a request has a client who waits.
    """

    cheap_to_check = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = threading.local()
        self.writes = Breaker("event store for writers", self._probe, EventStoreUnavailableError)
        """Open while an append is known to fail: another session locks, a standby is silent."""
        self._pool.probe = self._from_log(_PROBE_READ)

        self.damage = Damage()
        """What is known of the damage of the table."""

    @property
    def _pool(self) -> BoundedPool:
        return cast("BoundedPool", self.datastore.pool)

    def close(self) -> None:
        """End what probes."""
        self.writes.close()

    @contextmanager
    def _writing(self) -> Iterator[BoundedConnection]:
        """Lend a connection to a writer. Raises EventStoreUnavailableError while none can write."""
        self.writes.check()
        with self.datastore.get_connection() as lent:
            connection = cast("BoundedConnection", lent)
            connection.writing = True
            try:
                yield connection
            except psycopg.errors.LockNotAvailable:
                self.writes.trip("another session holds the lock")
                raise

    def _probe(self) -> None:
        with self._pool.lend() as connection, _warnings(connection) as warnings:
            connection.patience_s = 2.0
            log = Identifier(self.events_table_name)
            connection.execute(_PROBE.format(log=log, writing=_WRITING))
            if _ONLY_HERE in warnings:
                raise OutcomeUnknownError

    @property
    def database_version(self) -> str:
        """Which database this is, in which version."""
        with self.datastore.get_connection() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return f"PostgreSQL {row['server_version'] if row else 'unknown'}"

    def quick_check(self, _budget_s: float) -> str | None:
        """Return None: PostgreSQL says what it finds when it reads."""
        return None

    def check_pages(self) -> list[str]:
        """Return what is wrong with the table and its indexes, a line for each."""
        return check_pages(self.datastore, self.events_table_name)

    def select_torn(self, limit: int) -> list[tuple[Any, ...]]:
        """Return streams whose versions are not 1, 2, 3, …, each with its last position."""
        return select_torn(self.datastore, self.events_table_name, limit)

    def count_both(self, until: int) -> tuple[int, int]:
        """Return how many rows there are up to a position: in the table, and in log order."""
        return count_both(self.datastore, self.events_table_name, until)

    def _from_log(self, select: SQL) -> Composed:
        return select.format(log=Identifier(self.events_table_name))

    @contextmanager
    def writer_lock(self) -> Iterator[None]:
        """Keep out every other writer that asks for a turn; may be nested.

        A connection that is lost gives the turn back by itself.
        """
        if getattr(self._held, "here", False):
            yield
            return
        with self._writing() as connection:
            # In a transaction, so that a process that stops in its turn loses it.
            connection.execute(_BEGIN_TURN)
            self._held.here = True
            try:
                yield
            finally:
                self._held.here = False
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append in one transaction, the table locked for writers, and return the positions.

        Raises OutcomeUnknownError where the commit was asked for and not confirmed.
        """
        if not stored_events:
            return []
        events = [
            self.construct_pg_stored_event(
                one.originator_id, one.originator_version, one.topic, one.state
            )
            for one in stored_events
        ]
        with self._writing() as connection:
            # No pipeline: what it sends last would end the server's watch over idle transactions.
            connection.execute(self._from_log(_BEGIN_APPEND))
            with connection.cursor() as cursor:
                cursor.execute(self.insert_events_statement, (events,), prepare=True)
                positions = [int(row["notification_id"]) for row in cursor.fetchall()]
            if left_s(_COMMIT_S) < _COMMIT_S:
                raise LateError("no time is left to commit")
            try:
                self._commit(connection)
            except OutcomeUnknownError:
                self.writes.trip("a commit was not confirmed")
                raise
        return positions

    def _commit(self, connection: BoundedConnection) -> None:
        try:
            with _warnings(connection) as warnings:
                done = connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            if (error.sqlstate or "").startswith(_ROLLED_BACK):
                raise
            raise OutcomeUnknownError(type(error).__name__) from error
        if done != "COMMIT":
            raise OperationalError(f"the transaction ended with {done}")
        if _ONLY_HERE in warnings:
            raise OutcomeUnknownError("no standby confirmed it")

    def select_events(self, *args: Any, **kwargs: Any) -> Sequence[StoredEvent]:
        """Return one stream's events."""
        return PostgresApplicationRecorder.select_events.__wrapped__(  # type: ignore[no-any-return]
            self, *args, **kwargs
        )

    def max_notification_id(self) -> int | None:
        """Return the last position."""
        return PostgresApplicationRecorder.max_notification_id.__wrapped__(self)  # type: ignore[no-any-return]

    def create_table(self) -> None:
        """Create what is missing, one process at a time: two at once can crash."""
        with self.datastore.get_connection() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_CREATING,))
            try:
                super().create_table()
                connection.execute(_EPOCHS)
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_CREATING,))

    def select_rows(self, after: int, limit: int, until: int | None) -> list[tuple[Any, ...]]:
        """Return the rows after a position in log order."""
        bound = "AND notification_id<=%s " if until is not None else ""
        params = (after, *([until] if until is not None else []), limit)
        return self._rows(
            f"WHERE notification_id>%s {bound}ORDER BY notification_id LIMIT %s", params
        )

    def select_stream(
        self, stream_id: str, after_version: int, limit: int | None
    ) -> list[tuple[Any, ...]]:
        """Return one stream's rows after a version, oldest first."""
        return self._rows(
            "WHERE originator_id=%s AND originator_version>%s ORDER BY originator_version LIMIT %s",
            (stream_id, after_version, limit),
        )

    def select_continuity(
        self, position: int
    ) -> tuple[tuple[str, int] | None, list[tuple[Any, ...]]]:
        """Return log and number of the newest epoch, and the rows at a position and at the end."""
        select = self._from_log(_SELECT)
        where = self._from_log(_KNOWN_AND_LAST)
        query = _CONTINUITY.format(select=select, known_and_last=where)
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            try:
                rows = cursor.execute(query, (position,), prepare=True).fetchall()
            except psycopg.errors.UndefinedTable:  # a store of an earlier release
                return None, cursor.execute(select + where, (position,)).fetchall()
        newest = next(((row[0], row[1]) for row in rows if row[0] is not None), None)
        return newest, [row[2:] for row in rows if row[2] is not None]

    def select_epochs(self) -> list[tuple[Any, ...]]:
        """Return log, number, parent and shared position of every epoch."""
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            query = "SELECT log, epoch, parent, shared FROM cinelog_epochs ORDER BY epoch"
            try:
                return cursor.execute(query).fetchall()
            except psycopg.errors.UndefinedTable:  # a store of an earlier release
                return []

    def replace_epochs(self, epochs: Sequence[tuple[Any, ...]]) -> None:
        """Write these epochs and no others."""
        with (
            self.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            _replace(cursor, epochs)

    def select_by_stream(self, after: tuple[str, int], limit: int) -> list[tuple[Any, ...]]:
        """Return the rows after a stream's version, stream by stream."""
        return self._rows(
            "WHERE (originator_id, originator_version)>(%s, %s) "
            "ORDER BY originator_id, originator_version LIMIT %s",
            (*after, limit),
        )

    def restore_rows(
        self, batches: Iterable[Sequence[tuple[Any, ...]]], epochs: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Insert rows with their positions into an empty log, all or none; False if not empty.

        These epochs take the place of those it had.
        """
        with (
            self.datastore.get_connection() as connection,
            _patiently(connection),
            connection.transaction(),
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            cursor.execute(self._from_log(SQL("LOCK TABLE {log} IN EXCLUSIVE MODE")))
            if cursor.execute(self._from_log(SQL("SELECT 1 FROM {log} LIMIT 1"))).fetchone():
                return False
            cursor.execute("SET LOCAL statement_timeout = 0")  # one statement takes them all
            last = 0
            with cursor.copy(self._from_log(_RESTORE)) as copy:
                copy.set_types(["int8", "uuid", "int8", "text", "bytea"])
                for batch in batches:
                    for position, stream_id, *fields in batch:
                        copy.write_row((position, UUID(stream_id), *fields))
                    last = batch[-1][0]
            _replace(cursor, epochs)
            if last:
                # A sequence is not part of the transaction: at worst an empty log begins later.
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)",
                    (self.events_table_name, last),
                )
        return True

    def _rows(self, where: LiteralString, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            cursor.execute(self._from_log(_SELECT) + SQL(where), params, prepare=True)
            return cursor.fetchall()

    def count_rows(self) -> int:
        """Return how many events are stored; positions have gaps, so they are counted."""
        with self.datastore.get_connection() as connection:
            row = connection.execute(self._from_log(_COUNT)).fetchone()
        return int(row["n"]) if row else 0


@contextmanager
def _patiently(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Wait for the server for as long as it takes: one statement may write a whole log."""
    bounded = cast("BoundedConnection", connection)
    bounded.patience_s = None
    yield


@contextmanager
def _warnings(connection: psycopg.Connection[Any]) -> Iterator[list[str | None]]:
    """Yield the SQLSTATEs of what the server remarks in the meantime."""
    said: list[str | None] = []

    def hear(remark: psycopg.errors.Diagnostic) -> None:
        said.append(remark.sqlstate)

    connection.add_notice_handler(hear)
    try:
        yield said
    finally:
        connection.remove_notice_handler(hear)


def _replace(cursor: psycopg.Cursor[Any], epochs: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute(_EPOCHS)
    cursor.execute("DELETE FROM cinelog_epochs")
    cursor.executemany(
        "INSERT INTO cinelog_epochs (log, epoch, parent, shared) VALUES (%s, %s, %s, %s)",
        list(epochs),
    )


class Factory(PostgresFactory):
    """Builds the recorder above; ``POSTGRES_URL`` may say all that libpq understands."""

    application_recorder_class = PostgresRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get("POSTGRES_URL") or ""
        given = conninfo_to_dict(url)
        options = (
            f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_MS}"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
        )
        # A host that is gone sends nothing: the kernel notices, and the URL may say otherwise.
        kernel = {
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 5_000,
        }
        # Options of the URL come last and so win over ours, all the same ours are there.
        options = f"{options} {given.get('options') or ''}".strip()
        self.datastore.pool = BoundedPool(  # type: ignore[assignment]
            {**kernel, **given, "options": options, "connect_timeout": CONNECT_S}, size=_SIZE
        )
