"""Verifies the live generation against the log, and repairs the differences."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from commands.errors import ReadModelUnavailableError
from commands.event_store.log_reader import LONG_WAIT_S, LogReader
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.state import (
    DAMAGED,
    LIVE,
    OTHER_FORMAT,
    OTHER_LOG,
    ROW_FORMAT,
    Generation,
    GenerationState,
)
from projections.generation.writer import GenerationWriter
from projections.rebuild.diff import Comparison, Difference, DiffReport, repair, writes_for
from projections.rebuild.expected import ExpectedState
from projections.rebuild.parked import parked_in

# Fields repaired in one pause.
_REPAIRED_AT_ONCE = 100


class VerifyResult(NamedTuple):
    """The differences of the live generation, which was at ``position`` in the beginning."""

    generation: int
    position: int
    compared: int
    diff: DiffReport
    foreign: bool = False
    """It was built from another log: nothing was compared, only a rebuild helps."""
    other_format: bool = False
    """A release with another row format built it: nothing was compared."""


def verify(
    store: Store,
    redis: Any,
    *,
    source: LogReader | None = None,
    repair: bool = False,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> VerifyResult:
    """Compare every row and count of the live generation with the log, read from ``source``.

    A projection may be at work. Discarded movies must not be shown, as long as the log has an event
    of theirs that cannot be applied. With ``repair`` exactly the differences are put right. Calls
    ``advance`` with the number of fields compared and of all. Raises ReadModelUnavailableError if
    no generation is live.
    """
    live = require_live(redis)
    state = live.read_state(store)
    if state is None or state.state not in (LIVE, DAMAGED, OTHER_FORMAT, OTHER_LOG):
        raise ReadModelUnavailableError("it is being built")
    result = VerifyResult(live.number, state.position, 0, DiffReport())
    if state.state == OTHER_LOG:
        result.diff.add(Difference("head", b"last", None, state.last.encode()))
        return result._replace(foreign=True)
    if state.state == OTHER_FORMAT:
        formats = b"%d" % ROW_FORMAT, b"%d" % state.format
        result.diff.add(Difference("head", b"format", *formats))
        return result._replace(other_format=True)

    source = source or store
    with source.reading(state.position, current=False, wait_s=LONG_WAIT_S):
        comparison = _compare(source, live, state, repair=repair, advance=advance)
    return result._replace(compared=comparison.compared, diff=comparison.report)


def _compare(
    source: LogReader,
    live: Generation,
    state: GenerationState,
    *,
    repair: bool,
    advance: Callable[[int, int], None],
) -> Comparison:
    """Compare, and repair what differs."""
    discarded = {movie.id for movie in parked_in(live).values() if movie.dropped}
    comparison = Comparison(ExpectedState(source, state.position, discarded=discarded), live)
    report = comparison.report
    if state.state == DAMAGED:
        report.add(Difference("head", b"state", LIVE.encode(), DAMAGED.encode()))
    now = live.read_state()
    # Skipped if a movie was discarded meanwhile.
    if now is not None and state.dropped == now.dropped != len(discarded):
        numbers = b"%d" % len(discarded), b"%d" % state.dropped
        report.add(Difference("head", b"dropped", *numbers))
    pending: list[Difference] = []
    for difference in comparison.differences(advance):
        pending.append(difference)
        if repair and len(pending) >= _REPAIRED_AT_ONCE:
            _repair(comparison, pending)
            pending.clear()
    if repair and report.counts:
        if state.state == DAMAGED:
            pending.append(Difference("head", b"events", None, None))
        _repair(comparison, pending)
    return comparison


def require_live(redis: Any) -> GenerationWriter:
    """Return the live generation. Raises ReadModelUnavailableError if none is."""
    live = lifecycle.live_generation(redis)
    if live is None:
        raise ReadModelUnavailableError("it is being built")
    return live


def _repair(comparison: Comparison, differences: Iterable[Difference]) -> None:
    """Compare the differing fields again during a pause, and repair those that still differ."""
    fields: dict[str, set[bytes]] = {}
    for difference in differences:
        fields.setdefault(difference.key, set()).add(difference.field)
    live: Generation = comparison.live
    with pause(live) as paused:
        differing: list[Difference] = []
        for key, names in fields.items():
            if key == "days":
                differing += comparison.recheck_days()
            elif key != "head":
                differing += comparison.recheck(key, names)
            elif b"events" in names:
                events = comparison.expected.counts(paused.position)["events"]
                differing.append(Difference(key, b"events", events, None))
        rewritten = {one.field.decode(errors="replace") for one in differing if one.key == "parked"}
        marks = parked_in(live).values()
        discarded = sum(movie.dropped for movie in marks if movie.id not in rewritten)
        differing.append(Difference("head", b"dropped", b"%d" % discarded, None))
        # Also without a difference left: a repair counts the entries anew.
        repair(live, paused, writes_for(differing))
