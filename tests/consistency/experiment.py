"""An experiment: clients under load while a schedule of faults runs, then the check."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from tests.consistency.clients import Load, read_log, read_rows
from tests.consistency.faults import AT_ONCE, Fault
from tests.consistency.history import LIST, READ, WRITES, History, Operation
from tests.consistency.system import System

CALM_S, LEAST_S, LONGEST_S = 0.5, 1.0, 60.0
KINDS = {"write": WRITES, "read": {READ}, "list": {LIST}}


class Outage(NamedTuple):
    """A fault, and how long each kind of operation had no success after it."""

    fault: Fault
    gaps_s: dict[str, float]

    def __str__(self) -> str:
        gaps = (f"{name} {gap:.2f} s" for name, gap in self.gaps_s.items())
        return "    no success: " + "  ".join(gaps)

    @property
    def longest_s(self) -> float:
        return max(self.gaps_s.values())


class Result(NamedTuple):
    history: History
    outages: list[Outage]


async def run_experiment(
    system: System,
    load: Load,
    faults: Iterator[Fault],
    *,
    until: Callable[[list[Outage]], bool] = lambda _: False,
    report: Callable[[str], object] = lambda _: None,
) -> Result:
    """Run faults under load to their end, or until ``until`` says so.

    Raises AssertionError if the service does not recover from one.
    """
    outages: list[Outage] = []
    async with load:
        await _recovered(load, time.monotonic_ns())
        for fault in faults:
            if until(outages):
                break
            await asyncio.sleep(fault.pause_s)
            began = time.monotonic_ns()
            report(str(fault.kind))
            await asyncio.to_thread(system.begin, fault.kind)
            if fault.kind.fault not in AT_ONCE:
                await asyncio.sleep(fault.hold_s)
                began = time.monotonic_ns()
                await asyncio.to_thread(system.end, fault.kind)
            await _recovered(load, began)
            outages.append(Outage(fault, _gaps_s(load.operations, began)))
            report(str(outages[-1]))
    url = load.urls[0]
    log = await read_log(url, load.account)
    position = max((one.position for one in log), default=0)
    rows = await read_rows(url, load.account, position)
    return Result(History(load.operations, log, rows), outages)


async def _recovered(load: Load, began: int) -> None:
    """Wait until operations of every kind succeed and none has failed for a while."""
    by = time.monotonic() + LONGEST_S
    while time.monotonic() < by:
        await asyncio.sleep(0.05)
        load.check_alive()
        now = time.monotonic_ns()
        calm = now - int(CALM_S * 1e9)
        recent = [one for one in _latest(load.operations) if one.ended > max(calm, began)]
        succeeded = {one.kind for one in recent if one.acknowledged}
        failed = any(one.status in {None, 401, 503} for one in recent)
        if (
            now - began > LEAST_S * 1e9
            and not failed
            and all(kinds & succeeded for kinds in KINDS.values())
        ):
            return
    lines = [str(one) for one in islice(reversed(load.operations), 12)]
    raise AssertionError(f"not serving again after {LONGEST_S:.0f} s:\n" + "\n".join(lines))


def _latest(operations: list[Operation]) -> Iterator[Operation]:
    return islice(reversed(operations), 5_000)


def _gaps_s(operations: list[Operation], began: int) -> dict[str, float]:
    """Return the longest time without a success since a moment, by kind of operation."""
    gaps = {}
    for name, kinds in KINDS.items():
        ends = sorted(
            one.ended
            for one in operations
            if one.kind in kinds and one.acknowledged and one.ended > began
        )
        gaps[name] = max(after - before for before, after in pairwise([began, *ends])) / 1e9
    return gaps
