"""The capacity model: its answers follow from its assumptions."""

import dataclasses
import math

import pytest

from benchmarks import capacity
from benchmarks.capacity import Assumption, Load, Machine, plan, with_writes

MACHINE = Machine()


def test_requests_spread_over_workers():
    """Without writes, twice the requests need twice the workers."""
    load = with_writes(Load(1e6, 20_000), 0)
    twice = dataclasses.replace(load, requests=40_000)
    assert capacity.workers_for(twice, MACHINE) == 2 * capacity.workers_for(load, MACHINE)
    faster = dataclasses.replace(MACHINE, speed=2)
    assert capacity.workers_for(twice, faster) == capacity.workers_for(load, MACHINE)


def test_each_worker_follows_every_change():
    """So the time that is left for requests shrinks with the writes of all, at last to nothing."""
    writes = 1.01 * MACHINE.busy / capacity.FOLLOW_US.value * 1e6
    load = with_writes(Load(1e6, writes), 1)
    assert math.isinf(capacity.workers_for(load, MACHINE))
    found = plan(load, MACHINE)
    assert (found.nodes, found.workers) == (0, 0)
    assert any("following" in text for text in found.limits)


@pytest.mark.parametrize(
    ("load", "limit"),
    [
        (Load(1e9, 1_000), "memory of a node"),
        (with_writes(Load(1e6, 30_000), 1), "appends"),
        (Load(1e5, 1e6), "Redis"),
    ],
)
def test_what_cannot_be_spread_is_a_limit(load, limit):
    assert any(text.startswith(limit) for text in plan(load, MACHINE).limits)


def test_memory_takes_workers_from_a_node():
    load = Load(100e6, 1_000)
    assert capacity.workers_per_node(load, MACHINE) < MACHINE.cores
    larger = dataclasses.replace(MACHINE, memory_gb=256)
    assert capacity.workers_per_node(load, larger) == MACHINE.cores
    shared = dataclasses.replace(MACHINE, workers_share=True)
    assert capacity.workers_per_node(load, shared) == MACHINE.cores


def test_partitions_multiply_what_can_be_appended():
    two = dataclasses.replace(MACHINE, partitions=2)
    assert capacity.most_appends(two) == 2 * capacity.most_appends(MACHINE)
    slow = dataclasses.replace(MACHINE, flush_ms=20)
    assert capacity.most_appends(slow) < capacity.most_appends(MACHINE)


def test_a_small_load_needs_two_nodes_and_exceeds_nothing():
    found = plan(Load(100_000, 1_000), MACHINE)
    assert (found.nodes, found.limits) == (2, ())


def test_every_assumption_names_its_command():
    named = [one for one in vars(capacity).values() if isinstance(one, Assumption)]
    assert len(named) >= 8
    assert all("benchmarks" in one.measured_by and one.value > 0 for one in named)
    text = capacity.assumptions()
    assert all(one.unit in text for one in named)
    assert sum(capacity.MIX.values()) == pytest.approx(1)
    assert capacity.MIX.keys() == capacity.COSTS.keys()


def test_the_page_has_the_table_of_the_model():
    """``docs/scaling.md`` is not older than the model."""
    page = (capacity.ROOT / "docs" / "scaling.md").read_text()
    assert capacity.table(MACHINE) in page
    assert capacity.assumptions() in page
