"""Importing movies: a bad row is refused with its line and the reason, the rest goes in.

Each row is claimed by its account and content (and how many such rows came before it), in the
transaction of its movie: the same file again, or an interrupted import run again, adds only what is
missing. Every row is added, already there, or refused.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import uuid_utils.compat

from commands.claims import row_claim
from commands.errors import InvalidError
from commands.event_store.store import Store
from commands.group_commit import BATCH, CommandResult, commit
from commands.messages import CreateMovie, IdempotencyToken, MovieFields
from service.transfer.readers.file_kinds import UnreadableInputError
from service.transfer.readers.rows import Row


class Refused(NamedTuple):
    """A row that did not go in."""

    line: int
    reason: str


class Report(NamedTuple):
    """How far an import is.

    ``line`` is the last line read, ``position`` the last one appended to the log, 0 for none.
    """

    line: int
    added: int
    already: int
    refused: int
    position: int

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return self.added + self.already + self.refused

    def said(self) -> str:
        """Return it for a person."""
        counts = f"{self.added:,} added, {self.already:,} already there"
        return f"{counts}, {self.refused:,} refused"


NOTHING = Report(0, 0, 0, 0, 0)


def import_movies(  # noqa: PLR0913 - what, where, whose, and who is told
    store: Store,
    rows: Iterator[Row],
    account: UUID,
    *,
    advance: Callable[[Report], None] = lambda _: None,
    refuse: Callable[[Refused], None] = lambda _: None,
    reason: str | None = None,
) -> Report:
    """Create a movie of ``account`` for each row that is valid and not yet claimed.

    ``advance`` is told after each transaction, ``refuse`` of each row that does not go in.
    ``reason`` stands in every event. Raises UnreadableInputError where the rows end before the
    input does; those before are in the store then.
    """
    request_id = f"import-{uuid_utils.compat.uuid7()}"
    line = added = already = refused = position = 0
    unreadable: UnreadableInputError | None = None
    with closing(_Occurrences()) as seen:
        while unreadable is None:
            batch, unreadable = _batch(rows)
            if not batch:
                break
            commands: list[CreateMovie] = []
            line = batch[-1].line
            for row in batch:
                try:
                    fields = _fields(row)
                except InvalidError as error:
                    refused += 1
                    refuse(Refused(row.line, str(error)))
                    continue
                nth = seen.count(fields)
                commands.append(
                    CreateMovie(
                        by=account,
                        request_id=request_id,
                        at=datetime.now(UTC),
                        reason=reason,
                        movie_id=uuid_utils.compat.uuid7(),
                        fields=fields,
                        idempotency=IdempotencyToken(
                            claim=row_claim(str(account), fields.details(), nth)
                        ),
                    )
                )
            for answer in commit(store, commands):
                if not isinstance(answer, CommandResult):
                    raise answer
                added += answer.appended
                already += not answer.appended
                position = max(position, answer.position if answer.appended else 0)
            advance(Report(line, added, already, refused, position))
    if unreadable is not None:
        raise unreadable
    return Report(line, added, already, refused, position)


def _batch(rows: Iterator[Row]) -> tuple[list[Row], UnreadableInputError | None]:
    """Return the next rows, and why there are no more where the input cannot be read further."""
    batch: list[Row] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                break
    except UnreadableInputError as error:
        return batch, error
    except OSError as error:
        return batch, UnreadableInputError(None, error.strerror or type(error).__name__)
    return batch, None


def _fields(row: Row) -> MovieFields:
    if isinstance(row.fields, str):
        raise InvalidError({"row": [row.fields]})
    return MovieFields.of(row.fields)


class _Occurrences:
    """Counts how often each row came, in a temporary file beyond what SQLite keeps in memory."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA cache_size=-32000")
        self._db.execute("CREATE TABLE seen (row BLOB PRIMARY KEY, n INT) WITHOUT ROWID")

    def count(self, fields: MovieFields) -> int:
        """Count a row once more; return its number among its equals, from 1."""
        row = blake2b("\0".join(map(str, fields.details())).encode(), digest_size=16).digest()
        (n,) = self._db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n", (row,)
        ).fetchone()
        return int(n)

    def close(self) -> None:
        self._db.close()
