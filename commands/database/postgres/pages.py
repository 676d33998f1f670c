"""Checks that PostgreSQL can read the whole log, and that its indexes agree with it.

If the extension amcheck is installed in the database, every page is checked. Otherwise every row is
read, and counted through the table and through the index.
"""

from typing import Any, LiteralString

from eventsourcing.persistence import PersistenceError
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed, Identifier

from commands.database.damage import damage_in

_MAX_PROBLEMS = 100
_AMCHECK = SQL("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'")
_HEAP = SQL(
    "SELECT format('block %s, tuple %s: %s', blkno, offnum, msg)"
    " FROM verify_heapam({table}::regclass) LIMIT 100"
)
_INDEXES = SQL(
    "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = {table}::regclass ORDER BY 1"
)
_INDEX = SQL("SELECT bt_index_check({index}::regclass, true)")
_READ = SQL("SELECT count(*), sum(octet_length(state) + octet_length(topic)) FROM {log}")
_BY_POSITION = SQL(
    "SELECT count(*) FROM (SELECT notification_id FROM {log} WHERE notification_id <= {until}"
    " ORDER BY notification_id) AS rows"
)
_COUNT = SQL("SELECT count(*) FROM {log} WHERE notification_id <= {until}")
_TORN = SQL(
    "SELECT originator_id, max(notification_id) FROM {log} GROUP BY originator_id"
    " HAVING max(originator_version) <> count(*) LIMIT {limit}"
)
_NO_INDEX: tuple[LiteralString, ...] = ("indexscan", "indexonlyscan", "bitmapscan")
_NO_TABLE: tuple[LiteralString, ...] = ("seqscan", "bitmapscan", "sort")


def check_pages(datastore: Any, table: str) -> list[str]:
    """Return the problems of the table and its indexes, one line for each, at most 100."""
    name, problems = {"table": table}, []
    damage, installed = _ask(datastore, _AMCHECK.format(), ())
    problems += damage
    damage, indexes = _ask(datastore, _INDEXES.format(**name), ())
    problems += damage
    if installed:
        damage, rows = _ask(datastore, _HEAP.format(**name), ())
        problems += damage + [row[0] for row in rows]
        for (index,) in indexes:
            damage, _ = _ask(datastore, _INDEX.format(index=index), ())
            problems += [f"{index}: {line}" for line in damage]
    damage, _ = _ask(datastore, _READ.format(log=Identifier(table)), _NO_INDEX)
    problems += damage
    if not problems:
        try:
            counted, read = count_both(datastore, table, 2**63 - 1)
        except PersistenceError as error:
            problems.append(damage_in(error) or str(error))
        else:
            if counted != read:
                problems.append(f"the table has {counted:,} events, its index {read:,}")
    return problems[:_MAX_PROBLEMS]


def count_both(datastore: Any, table: str, until: int) -> tuple[int, int]:
    """Return the number of rows up to a position: through the table, and through the index."""
    names = {"log": Identifier(table), "until": until}
    return (
        _fetched(datastore, _COUNT.format(**names), _NO_INDEX)[0][0],
        _fetched(datastore, _BY_POSITION.format(**names), _NO_TABLE)[0][0],
    )


def select_torn(datastore: Any, table: str, limit: int) -> list[Any]:
    """Return streams with missing versions, each with its last position."""
    return _fetched(datastore, _TORN.format(log=Identifier(table), limit=limit), ())


def _ask(
    datastore: Any, query: Composed, without: tuple[LiteralString, ...]
) -> tuple[list[str], list[Any]]:
    """Return the damage that PostgreSQL reports, and the rows."""
    try:
        return [], _fetched(datastore, query, without)
    except PersistenceError as error:
        if (damage := damage_in(error)) is None:
            raise
        return [damage], []


def _fetched(datastore: Any, query: Composed, without: tuple[LiteralString, ...]) -> list[Any]:
    with (
        datastore.get_connection() as connection,
        connection.transaction(),
        connection.cursor(row_factory=tuple_row) as cursor,
    ):
        cursor.execute("SET LOCAL statement_timeout = 0")  # a check may take long
        connection.timeout_s = None
        for kind in without:
            cursor.execute(SQL("SET LOCAL {} = off").format(Identifier(f"enable_{kind}")))
        return list(cursor.execute(query).fetchall())
