"""Cells of an exported CSV that a spreadsheet would run as formulas (CWE-1236).

Any account can make a title, and an operator opens the export. A cell that begins like a formula is
written with an apostrophe before it, and an import of such a file takes it away again. A cell that
has apostrophes there already gets one more, so that each value comes back as it was.
"""

import re

# The header of an export; only under it are apostrophes taken away.
EXPORTED = ("id", "title", "genre", "year", "creator", "version", "created_at", "updated_at")
# The signs also in their full width, U+FF0B and so on.
_BEGINS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_BEGINS}")
_GUARDED = re.compile(f"'+{_BEGINS}")


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return what ``guarded`` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell
