"""Holds the live generation against the log, and mends what differs."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from commands.errors import ReadModelUnavailableError
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.reader import count
from projections.generation.state import (
    DAMAGED,
    LIVE,
    OTHER_FORMAT,
    OTHER_LOG,
    ROW_FORMAT,
    GenerationState,
)
from projections.generation.writer import GenerationWriter
from projections.rebuild.diff import Difference, DiffReport, differences, recheck
from projections.rebuild.expected import ExpectedFromLog
from projections.rebuild.parked import parked_in
from projections.rebuild.repair import commands_for, repair

# How many fields are mended in one hold.
_MENDED = 100


class VerifyResult(NamedTuple):
    """What was found in the live generation, which stood at ``position`` to begin with."""

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
    repair: bool = False,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> VerifyResult:
    """Compare every row and index of the live generation, and the counts, with the log.

    Beside a projection at work. Movies that an operator gave up must not be shown, as long as the
    log has an event of theirs that cannot be applied. To ``repair`` puts right what differs and
    nothing else. ``advance`` is told how much of how much is compared.
    Raises ReadModelUnavailableError where no generation is live.
    """
    live = live_generation(redis)
    head = live.read_state(store)
    if head is None or head.state not in (LIVE, DAMAGED, OTHER_FORMAT, OTHER_LOG):
        raise ReadModelUnavailableError("it is being built")
    if (unlike := _incomparable(live, head)) is not None:
        return unlike
    report = DiffReport()
    marks = parked_in(live).values()
    if head.state == DAMAGED:
        report.add(Difference("head", b"state", LIVE.encode(), DAMAGED.encode()))
    given_up = {mark.id for mark in marks if mark.dropped}
    now = live.read_state()
    # Not where one was given up just now.
    if now is not None and head.dropped == now.dropped != len(given_up):
        told = [b"%d" % number for number in (len(given_up), head.dropped)]
        report.add(Difference("head", b"dropped", *told))
    expected = ExpectedFromLog(store, head.position, given_up)
    total = count(live).total
    compared = 0

    def reached(done: int) -> None:
        nonlocal compared
        compared = done
        advance(done, max(done, total))

    waiting: list[Difference] = []
    for found in differences(expected, live, advance=reached):
        report.add(found)
        waiting.append(found)
        if repair and len(waiting) >= _MENDED:
            _mend(expected, live, waiting)
            waiting.clear()
    if repair and report.counts:
        if head.state == DAMAGED:
            waiting.append(Difference("head", b"events", None, None))
        _mend(expected, live, waiting)
    return VerifyResult(live.number, head.position, compared, report)


def _incomparable(live: GenerationWriter, head: GenerationState) -> VerifyResult | None:
    """Return what is said of a generation that no field of can be compared with the log."""
    report = DiffReport()
    found = VerifyResult(live.number, head.position, 0, report)
    if head.state == OTHER_LOG:
        report.add(Difference("head", b"last", None, head.last.encode()))
        return found._replace(foreign=True)
    if head.state == OTHER_FORMAT:
        report.add(Difference("head", b"format", b"%d" % ROW_FORMAT, b"%d" % head.format))
        return found._replace(other_format=True)
    return None


def live_generation(redis: Any) -> GenerationWriter:
    """Return the live generation. Raises ReadModelUnavailableError where there is none."""
    live = lifecycle.live_generation(redis)
    if live is None:
        raise ReadModelUnavailableError("it is being built")
    return live


def _mend(expected: ExpectedFromLog, live: GenerationWriter, found: Iterable[Difference]) -> None:
    by_key: dict[str, set[bytes]] = {}
    for one in found:
        by_key.setdefault(one.key, set()).add(one.field)
    with pause(live) as held:
        again: list[Difference] = []
        for key, fields in by_key.items():
            if key != "head":
                again += recheck(expected, live, key, fields)
            elif b"events" in fields:
                events = expected.counts(held.position)["events"]
                again.append(Difference(key, b"events", events, None))
        lost = {one.field.decode(errors="replace") for one in again if one.key == "parked"}
        dropped = sum(mark.dropped for mark in parked_in(live).values() if mark.id not in lost)
        again.append(Difference("head", b"dropped", b"%d" % dropped, None))
        # Also where nothing is left to do: it counts anew what there is.
        repair(live, held, commands_for(again))
