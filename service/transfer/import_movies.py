"""Import of movies: each row is added, already there, or refused with its line and the reason.

A row is claimed by its account, content and number among equal rows, in the transaction that
creates its movie. So importing a file twice, or after an interruption, adds only what is missing.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import uuid_utils.compat

from commands.aggregates.claims import row_claim
from commands.errors import InvalidError
from commands.event_store.store import Store
from commands.execution.group_commit import BATCH, CommandResult, commit
from commands.messages import CreateMovie, IdempotencyToken, MovieFields
from service.transfer.file_kinds import UnreadableInputError
from service.transfer.source import Row


class RefusedRow(NamedTuple):
    """A row that was not imported."""

    line: int
    reason: str


class ImportReport(NamedTuple):
    """Progress of an import: the last line read, the row counts, and the last position appended."""

    line: int = 0
    added: int = 0
    already: int = 0
    refused: int = 0
    position: int = 0

    @property
    def rows(self) -> int:
        """Number of rows read."""
        return self.added + self.already + self.refused

    def summary(self) -> str:
        """Return the counts as text."""
        counts = f"{self.added:,} added, {self.already:,} already there"
        return f"{counts}, {self.refused:,} refused"


def import_movies(  # noqa: PLR0913 - two callbacks
    store: Store,
    rows: Iterator[Row],
    account: UUID,
    *,
    advance: Callable[[ImportReport], None] = lambda _: None,
    refuse: Callable[[RefusedRow], None] = lambda _: None,
    reason: str | None = None,
) -> ImportReport:
    """Create a movie of ``account`` for each valid row that is not claimed yet.

    ``advance`` is called after each transaction, ``refuse`` for each refused row; ``reason`` is
    recorded in every event. Raises UnreadableInputError, after importing the rows before the
    unreadable part of the input.
    """
    request_id = f"import-{uuid_utils.compat.uuid7()}"
    line = added = already = refused = position = 0
    with closing(_Occurrences()) as seen:
        for batch in _batches(rows):
            commands: list[CreateMovie] = []
            line = batch[-1].line
            for row in batch:
                try:
                    fields = _fields(row)
                except InvalidError as error:
                    refused += 1
                    refuse(RefusedRow(row.line, str(error)))
                    continue
                claim = row_claim(str(account), fields.details(), seen.count(fields))
                commands.append(
                    CreateMovie(
                        by=account,
                        request_id=request_id,
                        at=datetime.now(UTC),
                        reason=reason,
                        movie_id=uuid_utils.compat.uuid7(),
                        fields=fields,
                        idempotency=IdempotencyToken(claim=claim),
                    )
                )
            for answer in commit(store, commands):
                if not isinstance(answer, CommandResult):
                    raise answer
                added += answer.appended
                already += not answer.appended
                position = max(position, answer.position if answer.appended else 0)
            advance(ImportReport(line, added, already, refused, position))
    return ImportReport(line, added, already, refused, position)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in batches; those before an unreadable part, then raise."""
    batch: list[Row] = []
    unreadable: UnreadableInputError | None = None
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except UnreadableInputError as error:
        unreadable = error
    except OSError as error:
        unreadable = UnreadableInputError(None, error.strerror or type(error).__name__)
    if batch:
        yield batch
    if unreadable:
        raise unreadable


def _fields(row: Row) -> MovieFields:
    if isinstance(row.fields, str):
        raise InvalidError({"row": [row.fields]})
    return MovieFields.of(row.fields)


class _Occurrences:
    """Counts equal rows, in a temporary SQLite database that spills from memory to disk."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA cache_size=-32000")
        # One transaction that never ends: nothing is written before the cache is full.
        self._db.execute("BEGIN")
        self._db.execute("CREATE TABLE seen (row BLOB PRIMARY KEY, n INT) WITHOUT ROWID")

    def count(self, fields: MovieFields) -> int:
        """Count a row; return its number among equal rows, from 1."""
        row = blake2b("\0".join(map(str, fields.details())).encode(), digest_size=16).digest()
        (n,) = self._db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n", (row,)
        ).fetchone()
        return int(n)

    def close(self) -> None:
        self._db.close()
