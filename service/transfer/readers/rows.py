"""Rows of an import, and the lines of text they are made from."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from commands.movie import MovieDetails

COLUMNS = MovieDetails._fields
REQUIRED = tuple(name for name in COLUMNS if name not in MovieDetails._field_defaults)
MAX_LINE_BYTES = 1 << 20
TOO_LONG = "longer than 1 MiB"


class Row(NamedTuple):
    """A row of the input: the line it begins on, and its fields or what is wrong with it."""

    line: int
    fields: dict[str, Any] | str


class Line(NamedTuple):
    """A line with its end; ``raw`` is None for one that is too long."""

    number: int
    raw: bytes | None


def lines_of(chunks: Iterator[bytes]) -> Iterator[Line]:
    r"""Yield the lines, which end with ``\n``, ``\r\n`` or ``\r``."""
    number, rest, skips = 0, b"", False
    for chunk in chunks:
        # The last piece waits: it may go on, and its "\r" may be followed by "\n".
        *lines, rest = (rest + chunk).splitlines(keepends=True)
        if rest.endswith(b"\n"):
            lines.append(rest)
            rest = b""
        for line in lines:
            if not skips:
                number += 1
                yield Line(number, line if len(line) <= MAX_LINE_BYTES else None)
            skips = False
        if len(rest) > MAX_LINE_BYTES:
            if not skips:
                number += 1
                yield Line(number, None)
            skips, rest = True, rest[-1:]
    if rest and not skips:
        yield Line(number + 1, rest)
