"""How differences between the read model and the log are told."""

from collections.abc import Iterator
from typing import Any

from projections.movie_rows import SEPARATOR
from projections.rebuild.diff import Difference, DiffReport, Value

# So many are told as text; JSON has all that were kept.
SHOWN = 50


def drift_as_json(drift: DiffReport) -> dict[str, Any]:
    """Return differences as JSON has them: how many of each key, and the first of them."""
    first = []
    for found in drift.first:
        wanted, shown = _texts(found)
        field = found.field.decode(errors="replace")
        first.append({"key": found.key, "field": field, "wanted": wanted, "shown": shown})
    return {"differing": dict(drift.counts), "differences": first}


def drift_lines(drift: DiffReport, what: str) -> Iterator[str]:
    """Yield differences as text, and at last that ``what`` differs so much."""
    if not drift.counts:
        yield f"{what} nothing differs"
        return
    for found in drift.first[:SHOWN]:
        yield _line(found)
    if (more := drift.counts.total() - SHOWN) > 0:
        yield f"… and {more:,} more"
    counted = ", ".join(f"{number:,} of {key}" for key, number in sorted(drift.counts.items()))
    yield f"{what} {counted} differ"


def _line(found: Difference) -> str:
    field = found.field.decode(errors="replace").replace("\0", " ")
    wanted, shown = ("none" if text is None else text for text in _texts(found))
    return f"{found.key} {field}: {shown}, should be {wanted}"


def _texts(found: Difference) -> tuple[str | None, str | None]:
    """Return what is wanted and what is shown, so that they differ."""
    wanted, shown = _text(found.wanted), _text(found.shown)
    if wanted == shown and isinstance(found.wanted, bytes) and isinstance(found.shown, bytes):
        return _whole(found.wanted), _whole(found.shown)
    return wanted, shown


def _text(value: Value) -> str | None:
    """Return the JSON of a row's line, the number of a score, and other values as they are."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.rsplit(SEPARATOR, 1)[-1].decode(errors="replace")
    return f"{value:.0f}" if float(value).is_integer() else repr(value)


def _whole(value: bytes) -> str:
    """Return a value with its end as before and all that stands before it, each byte visible."""
    return value.decode(errors="backslashreplace").replace("\0", "\\0")
