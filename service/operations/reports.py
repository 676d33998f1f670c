"""What a rebuild and a verification report, as JSON: for the command line and the API."""

from contextlib import suppress
from typing import Any

from projections.rebuild.diff import Difference, DiffReport, Value
from projections.rebuild.rebuild import RebuildResult
from projections.rebuild.verify import VerifyResult
from projections.row import row_json


def rebuild_facts(built: RebuildResult, seconds: float) -> dict[str, Any]:
    """Return the result of a rebuild."""
    return _without_diff(built) | {"seconds": seconds, **diff_as_json(built.diff)}


def verify_facts(
    found: VerifyResult, head: int, damaged: list[str], *, repair: bool
) -> dict[str, Any]:
    """Return the result of a verification, and whether it ``repaired`` what differed.

    ``damaged`` are the problems of the event store, because of which nothing was repaired.
    """
    compared = not (found.foreign or found.other_format)
    return _without_diff(found) | {
        "log_position": head,
        "repaired": repair and not damaged and bool(found.diff.counts) and compared,
        "event_store": damaged,
        **diff_as_json(found.diff),
    }


def diff_as_json(diff: DiffReport) -> dict[str, Any]:
    """Return how many fields of each key differ, and the first of them."""
    first = []
    for found in diff.first:
        wanted, shown = texts_of(found)
        field = found.field.decode(errors="replace")
        first.append({"key": found.key, "field": field, "wanted": wanted, "shown": shown})
    return {"differing": dict(diff.counts), "differences": first}


def texts_of(found: Difference) -> tuple[str | None, str | None]:
    """Return the wanted and the shown value as two texts that differ."""
    wanted, shown = _text(found.wanted), _text(found.shown)
    if wanted == shown and isinstance(found.wanted, bytes) and isinstance(found.shown, bytes):
        wanted, shown = (
            value.decode(errors="backslashreplace").replace("\0", "\\0")
            for value in (found.wanted, found.shown)
        )
    return wanted, shown


def _text(value: Value) -> str | None:
    """Return the JSON in an encoded row, any other value as it is."""
    if not isinstance(value, bytes):
        return None if value is None else str(value)
    with suppress(ValueError):
        value = row_json(value)
    return value.decode(errors="replace")


def _without_diff(report: RebuildResult | VerifyResult) -> dict[str, Any]:
    return {name: value for name, value in report._asdict().items() if name != "diff"}
