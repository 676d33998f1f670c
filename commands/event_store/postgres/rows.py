"""Reads the rows of a log in PostgreSQL."""

from collections.abc import Sequence
from typing import Any, LiteralString, cast

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.rows import tuple_row

from commands.database.postgres.pages import check_pages, count_both, select_torn
from commands.database.postgres.pool import BoundedPool
from commands.event_store import floors
from commands.event_store.event_codec import Row

# The library names the table after the application.
_SELECT = (
    "SELECT notification_id, originator_id, originator_version, topic, state FROM cinelog_events "
)
_EXISTING = (
    "SELECT originator_id FROM cinelog_events"
    " WHERE originator_version=1 AND originator_id = ANY(%s::uuid[])"
)
_COUNT = "SELECT count(*) AS n FROM cinelog_events"
_KNOWN_AND_LAST = (
    _SELECT  # noqa: S608 - constants
    + "WHERE notification_id IN (%s, (SELECT max(notification_id) FROM cinelog_events))"
)
_CONTINUITY = (
    "WITH newest AS (SELECT log, epoch FROM cinelog_epochs ORDER BY epoch DESC LIMIT 1), "  # noqa: S608
    "events AS (" + _KNOWN_AND_LAST + ") "
    "SELECT newest.log, newest.epoch, events.* FROM newest FULL JOIN events ON true"
)


class PostgresRows(PostgresApplicationRecorder):
    """Reads that fail at once; the library would try ten times.

    The callers decide about failures: the projection has its own backoff, a request has a client
    that waits.
    """

    cheap_to_check = False

    @property
    def _pool(self) -> BoundedPool:
        return cast("BoundedPool", self.datastore.pool)

    @property
    def database_version(self) -> str:
        """The name and version of the database."""
        with self.datastore.get_connection() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return f"PostgreSQL {row['server_version'] if row else 'unknown'}"

    def quick_check(self, _budget_s: float) -> str | None:
        """Return None: PostgreSQL reports corruption when it reads."""
        return None

    def check_pages(self) -> list[str]:
        """Return the problems of the table and its indexes, one line for each."""
        return check_pages(self.datastore, self.events_table_name)

    def select_torn(self, limit: int) -> list[tuple[Any, ...]]:
        """Return streams with missing versions, each with its last position."""
        return select_torn(self.datastore, self.events_table_name, limit)

    def count_both(self, until: int) -> tuple[int, int]:
        """Return the number of rows up to a position: through the table, and through the index."""
        return count_both(self.datastore, self.events_table_name, until)

    def count_rows(self) -> int:
        """Return the number of events; positions have gaps."""
        with self.datastore.get_connection() as connection:
            row = connection.execute(_COUNT).fetchone()
        return int(row["n"]) if row else 0

    def select_events(self, *args: Any, **kwargs: Any) -> Sequence[StoredEvent]:
        """Return one stream's events."""
        return PostgresApplicationRecorder.select_events.__wrapped__(  # type: ignore[no-any-return]
            self, *args, **kwargs
        )

    def max_notification_id(self) -> int | None:
        """Return the last position."""
        return PostgresApplicationRecorder.max_notification_id.__wrapped__(self)  # type: ignore[no-any-return]

    def select_rows(self, after: int, limit: int, until: int | None) -> list[Row]:
        """Return the rows after a position in log order."""
        bound = "AND notification_id<=%s " if until is not None else ""
        params = (after, *([until] if until is not None else []), limit)
        return self._rows(
            f"WHERE notification_id>%s {bound}ORDER BY notification_id LIMIT %s", params
        )

    def select_types(self, topics: Sequence[str], after: int, until: int) -> list[Row]:
        """Return the rows of some topics in a range of positions, in log order."""
        return self._rows(
            "WHERE notification_id>%s AND notification_id<=%s AND topic = ANY(%s) "
            "ORDER BY notification_id",
            (after, until, list(topics)),
        )

    def select_types_of(self, stream_ids: Sequence[str], topics: Sequence[str]) -> list[Row]:
        """Return the rows of some topics of some streams, by stream and version."""
        return self._rows(
            "WHERE originator_id = ANY(%s::uuid[]) AND topic = ANY(%s) "
            "ORDER BY originator_id, originator_version",
            (list(stream_ids), list(topics)),
        )

    def select_stream(self, stream_id: str, after_version: int, limit: int | None) -> list[Row]:
        """Return one stream's rows after a version, oldest first."""
        return self._rows(
            "WHERE originator_id=%s AND originator_version>%s ORDER BY originator_version LIMIT %s",
            (stream_id, after_version, limit),
        )

    def select_existing(self, stream_ids: Sequence[str]) -> list[str]:
        """Return those streams that have a first event."""
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            cursor.execute(_EXISTING, (list(stream_ids),), prepare=True)
            return [str(row[0]) for row in cursor.fetchall()]

    def select_floor(self, read_model: str) -> int:
        """Return the floor of a read model, 0 if none is stored."""
        with self.datastore.get_connection() as connection:
            try:
                found = connection.execute(floors.POSTGRES_SELECT, (read_model,)).fetchone()
            except psycopg.errors.UndefinedTable:  # a store of an earlier release
                return 0
        return int(found["generation"]) if found else 0

    def select_by_stream(self, after: tuple[str, int], limit: int) -> list[Row]:
        """Return the rows after a stream's version, stream by stream."""
        return self._rows(
            "WHERE (originator_id, originator_version)>(%s, %s) "
            "ORDER BY originator_id, originator_version LIMIT %s",
            (*after, limit),
        )

    def select_continuity(self, position: int) -> tuple[tuple[str, int] | None, list[Row]]:
        """Return log and number of the newest epoch, and the rows at a position and at the end."""
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            try:
                rows = cursor.execute(_CONTINUITY, (position,), prepare=True).fetchall()
            except psycopg.errors.UndefinedTable:  # a store of an earlier release
                return None, cursor.execute(_KNOWN_AND_LAST, (position,)).fetchall()
        newest = next(((row[0], row[1]) for row in rows if row[0] is not None), None)
        return newest, [row[2:] for row in rows if row[2] is not None]

    def select_epochs(self) -> list[tuple[Any, ...]]:
        """Return log, number, parent and shared position of every epoch."""
        query = "SELECT log, epoch, parent, shared FROM cinelog_epochs ORDER BY epoch"
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            try:
                return cursor.execute(query).fetchall()
            except psycopg.errors.UndefinedTable:  # a store of an earlier release
                return []

    def _rows(self, where: LiteralString, params: tuple[Any, ...]) -> list[Row]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            cursor.execute(_SELECT + where, params, prepare=True)
            return cursor.fetchall()
