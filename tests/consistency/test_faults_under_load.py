"""Killed processes under load: clients see a consistent history; ``make test-faults`` runs longer."""

import asyncio

from tests.consistency.checker import check
from tests.consistency.clients import Load
from tests.consistency.experiment import run_experiment
from tests.consistency.faults import KILL, Fault, Kind, schedule
from tests.consistency.system import KINDS, PROJECTION, REDIS, SQLITE, WORKER, System

FAULTS = [Fault(Kind(KILL, part), 0.2, 0.0) for part in (WORKER, PROJECTION, REDIS)]


def test_killed_processes_under_load(tmp_path):
    system = System(tmp_path, 1, [fault.kind for fault in FAULTS])
    try:
        load = Load(system.urls, seed=1, clients=4, pause_s=0.02)
        result = asyncio.run(run_experiment(system, load, iter(FAULTS)))
    finally:
        system.stop()
    assert len(result.outages) == len(FAULTS)
    assert len(result.history.log) > 20
    assert check(result.history) == []


def test_a_seed_reproduces_the_schedule():
    first, again, other = (schedule(seed, KINDS[SQLITE]) for seed in (1, 1, 2))
    begin = [next(first) for _ in range(20)]
    assert begin == [next(again) for _ in range(20)]
    assert begin != [next(other) for _ in range(20)]
