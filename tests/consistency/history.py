"""A recorded history: operations of clients, the log, and the rows of the read model.

A history is a folder with three files of JSON Lines, so that it can be checked again:
``operations.jsonl``, ``log.jsonl`` and ``rows.jsonl``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

CREATE, CHANGE, DELETE = "create", "change", "delete"
READ, LIST, HISTORY = "read", "list", "history"
WRITES = {CREATE, CHANGE, DELETE}


class Row(NamedTuple):
    """One version of a movie, as a row of a list or an entry of a history shows it."""

    movie: str
    version: int
    title: str | None
    """None for the entry of a deletion."""


@dataclass(slots=True)
class Operation:
    """One request and its answer.

    Times are nanoseconds of a monotonic clock that all clients share. ``write`` names a write: its
    attempts share it, and the log has it as the request id of the event. Every title that a write
    sets is the name of the write.
    """

    session: str
    """The client: it sends one request after the other."""
    kind: str
    began: int
    ended: int = 0
    status: int | None = None
    """None: there was no answer."""
    code: str = ""
    """The code of the problem."""
    write: str = ""
    movie: str = ""
    version: int = 0
    position: int = 0
    """``Event-Position``, 0 where the answer has none."""
    log: str = ""
    least: int | None = None
    """``Min-Event-Position``, None where it was not sent."""
    behind: bool = False
    """Whether a write was answered before the read model showed it."""
    replayed: bool = False
    count: int = 0
    size: int = 0
    """The page size of a list: its newest movies."""
    rows: list[Row] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def unknown(self) -> bool:
        """Whether a write without a success may have been carried out nevertheless."""
        return self.status is None or self.code == "outcome_unknown"


class Event(NamedTuple):
    """An event of the log."""

    position: int
    movie: str
    version: int
    write: str
    """The request id: the name of the write."""
    title: str | None
    """The title that it sets; None for a deletion."""
    at: str = ""
    """When it happened: RFC 3339, UTC, of one length. Lists are ordered by this of the creation."""


class History(NamedTuple):
    """Everything that the checker needs."""

    operations: list[Operation]
    log: list[Event]
    rows: list[Row]
    """The list as it was in the end, of all movies, once the read model showed the whole log."""

    def save(self, folder: Path) -> None:
        """Write the three files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, records in zip(History._fields, self, strict=True):
            _write(folder / f"{name}.jsonl", records)

    @classmethod
    def load(cls, folder: Path) -> "History":
        """Read the three files."""
        operations = [Operation(**one) for one in _read(folder / "operations.jsonl")]
        for one in operations:
            one.rows = [Row(*row) for row in one.rows]
        log = [Event(*one) for one in _read(folder / "log.jsonl")]
        return cls(operations, log, [Row(*one) for one in _read(folder / "rows.jsonl")])


def _write(path: Path, records: Iterable[object]) -> None:
    with path.open("wb") as file:
        file.writelines(orjson.dumps(record, default=tuple) + b"\n" for record in records)


def _read(path: Path) -> list:
    with path.open("rb") as file:
        return [orjson.loads(line) for line in file]
