"""Faults under load, then the check of what clients saw.

    python -m tests.consistency [--seed N] [--seconds S | --faults N] [--output FOLDER]
    python -m tests.consistency --check FOLDER
    python -m tests.consistency --planted
    python -m tests.consistency --made 1000000

The seed reproduces the schedule of the faults. Exits with 1 if the history breaks a rule or an
outage lasts too long. The output is a folder with the history, which can be checked again.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from tests.consistency.checker import Violation, check
from tests.consistency.clients import Load
from tests.consistency.experiment import Outage, run_experiment
from tests.consistency.faults import Kind, schedule
from tests.consistency.history import History
from tests.consistency.planted import PLANTED, plant
from tests.consistency.story import long_story
from tests.consistency.system import KINDS, SQLITE, System, kinds_here

MOST_SHOWN, PLANTED_FAULTS = 20, 6


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.consistency", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--faults", type=int, help="end after so many faults instead")
    parser.add_argument("--only", help="only faults whose name contains this text")
    parser.add_argument("--store", choices=[*KINDS], default=SQLITE)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--within", type=float, default=5.0, help="longest outage in seconds")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--check", type=Path, help="only check a recorded history")
    parser.add_argument("--planted", action="store_true", help="find faults planted in the service")
    parser.add_argument("--made", type=int, help="only check a made history of so many operations")
    options = parser.parse_args()
    if options.check:
        return _report(check(History.load(options.check)))
    if options.made:
        return _check_made(options.made)
    if options.planted:
        return max(_find_planted(name, options.seed) for name in PLANTED)
    print(f"seed {options.seed}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kinds = [kind for kind in kinds_here(options.store) if (options.only or "") in str(kind)]
        system = System(Path(folder), options.seed, kinds, options.store)
        try:
            return asyncio.run(_run(system, kinds, options))
        finally:
            if options.output:
                options.output.mkdir(parents=True, exist_ok=True)
                shutil.copy(system.service.log_path, options.output)
            system.stop()


async def _run(system: System, kinds: Sequence[Kind], options: argparse.Namespace) -> int:
    began = time.monotonic()

    def over(outages: list[Outage]) -> bool:
        if options.faults:
            return len(outages) >= options.faults
        return time.monotonic() > began + options.seconds

    load = Load(system.urls, options.seed, clients=options.clients)
    history, outages = await run_experiment(
        system,
        load,
        schedule(options.seed, kinds),
        until=over,
        report=lambda line: print(line, flush=True),
    )
    if options.output:
        history.save(options.output)
    _print_summary(history, outages)
    late = [outage for outage in outages if outage.longest_s > options.within]
    print(f"{len(late)} of {len(outages)} outages longer than {options.within:g} s")
    verified = await asyncio.to_thread(system.run, "verify")
    print(verified.stdout + verified.stderr)
    return max(_report(check(history)), int(bool(late)), verified.returncode)


def _check_made(operations: int) -> int:
    history = long_story(operations)
    began = time.monotonic()
    violations = check(history)
    print(f"{operations:,} operations were checked in {time.monotonic() - began:.1f} s")
    return _report(violations)


def _find_planted(name: str, seed: int) -> int:
    """Return 0 if the checker finds a planted fault by the rules that must find it."""
    planted = PLANTED[name]
    with tempfile.TemporaryDirectory() as folder:
        command = plant(name, Path(folder) / "planted")
        system = System(Path(folder), seed, planted.kinds, command=command)
        try:
            faults = islice(schedule(seed, planted.kinds), PLANTED_FAULTS)
            load = Load(system.urls, seed)
            history, _ = asyncio.run(run_experiment(system, load, faults))
        finally:
            system.stop()
    found = {violation.rule for violation in check(history)}
    print(f"planted: {name}; found by: {', '.join(sorted(found)) or 'no rule'}", flush=True)
    return int(not found & planted.rules)


def _print_summary(history: History, outages: list[Outage]) -> None:
    statuses: dict[str, int] = defaultdict(int)
    for one in history.operations:
        statuses[str(one.status or one.code)] += 1
    print(f"{len(history.operations)} operations, {len(history.log)} events: {dict(statuses)}")
    by_fault: dict[str, list[float]] = defaultdict(list)
    for outage in outages:
        by_fault[str(outage.fault.kind)].append(outage.longest_s)
    print(f"{'longest outage, s':<20}{'number':>8}{'median':>8}{'95 %':>8}{'most':>8}")
    for name, gaps in sorted(by_fault.items()):
        gaps.sort()
        figures = median(gaps), gaps[int(0.95 * (len(gaps) - 1))], gaps[-1]
        print(f"{name:<20}{len(gaps):>8}" + "".join(f"{figure:>8.2f}" for figure in figures))


def _report(violations: list[Violation]) -> int:
    for violation in violations[:MOST_SHOWN]:
        print(violation)
    print(f"{len(violations)} violations")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
