"""Cells of an exported CSV that a spreadsheet would run as formulas (CWE-1236).

Any account can make a title, and an operator opens the export. A cell that begins like a formula is
written with an apostrophe before it, and an import of such a file takes it away again. A cell that
has apostrophes there already gets one more, so that each value comes back as it was.
"""

import re
from collections.abc import Sequence

from projections.movie_rows import ROW_FIELDS
from service.transfer.readers.rows import COLUMNS, REQUIRED

# The signs also in their full width, U+FF0B and so on.
_BEGINS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_BEGINS}")
_GUARDED = re.compile(f"'+{_BEGINS}")


def is_exported(header: Sequence[str]) -> bool:
    """Return whether a header is of an export: only under it are apostrophes taken away.

    An export of an earlier release lacks the fields that came later, which have defaults.
    """
    known = [name for name in ROW_FIELDS if name in header]
    optional = set(COLUMNS) - set(REQUIRED)
    return list(header) == known and set(ROW_FIELDS) - set(header) <= optional


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return what ``guarded`` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell
