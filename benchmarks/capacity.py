"""How much a load needs of everything: ``python -m benchmarks.capacity --help``.

A model, not a measurement: it multiplies what one node was measured to need. Each assumption names
the command that measured it, on 2 cores; measure again on yours, or pass ``--speed`` (2 for cores
twice as fast). Processor times per request add up over nodes. What cannot be spread over nodes is a
limit, and the model says which ones are exceeded.
"""

import argparse
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Assumption(NamedTuple):
    """A measured value and the command that measured it."""

    value: float
    unit: str
    measured_by: str


class Cost(NamedTuple):
    """Processor time of a request in microseconds, by part.

    That of the API worker is ``api`` with no movie, and ``api_per_million`` more for each million.
    """

    api: float
    api_per_million: float
    redis: float
    postgres: float
    projection: float = 0


NODE = "benchmarks/node.py --movies 100000 1000000"
LISTS = "benchmarks/lists.py --movies 1000000"
PARTITIONS = "python -m benchmarks.partitions --clients 64"

COSTS = {
    "first page": Cost(69, 0, 7, 0),
    "random page": Cost(264, 125, 43, 15),
    "one movie": Cost(92, 0, 19, 0),
    "new filter": Cost(376, 885, 24, 1),
    "history": Cost(575, 0, 7, 227),
    "write": Cost(236, 0, 17, 40, 38),
}
"""By kind of request, measured by ``NODE``; the growth is that from 100,000 to 1,000,000 movies.

Reads with 16 connections, as a worker that is not at its limit gathers few calls to Redis; writes
with 64, as they gather at the rates at which their limits matter.
"""
REDIS_BYTES = Assumption(372, "bytes a movie in Redis", NODE)
LOG_BYTES = Assumption(362, "bytes an event in PostgreSQL, with its indexes", NODE)
WORKER_MB = Assumption(118, "MB an API worker without movies", NODE)
WORKER_BYTES = Assumption(223, "bytes a movie in each API worker, after the first projection", NODE)
FOLLOW_US = Assumption(12, "us in each API worker for each change that it follows", LISTS)
LOAD_US = Assumption(2.1, "us a movie until a started API worker answers lists", LISTS)
REBUILD_US = Assumption(21.5, "us a movie to rebuild, two processes", LISTS)
COMMIT_MS = Assumption(1.9, "ms of processor time under the writer lock a transaction", PARTITIONS)
COMMIT_EVENT_MS = Assumption(0.085, "ms of it for each event in the transaction", PARTITIONS)
MAX_BATCH = 256
"""Commands in a transaction (``commands/execution/executor.py``)."""
MIX = {
    "first page": 0.25,
    "random page": 0.1,
    "one movie": 0.4,
    "new filter": 0.1,
    "history": 0.05,
    "write": 0.1,
}
"""Shares of the requests, by default. Not measured: yours."""


@dataclass(frozen=True)
class Load:
    """What is asked for."""

    movies: float
    requests: float
    """In a second."""
    events_per_movie: float = 1.3
    mix: tuple[tuple[str, float], ...] = tuple(MIX.items())

    def rate(self, kind: str) -> float:
        """Return the requests/s of a kind."""
        return self.requests * dict(self.mix).get(kind, 0)


@dataclass(frozen=True)
class Machine:
    """A machine for API workers, and how busy its cores, and those of the stores, may be."""

    cores: int = 8
    memory_gb: float = 32
    busy: float = 0.6
    speed: float = 1
    """Of a core, compared with those that were measured."""
    flush_ms: float = 1
    """Of PostgreSQL's write-ahead log: its disk, and a synchronous standby."""
    workers_share: bool = False
    """Whether the workers of a machine share the records of movies (not built)."""
    partitions: int = 1
    """Of the log (not built)."""


@dataclass(frozen=True)
class Plan:
    """What a load needs. ``limits`` are the parts that cannot carry it as they are built."""

    nodes: int
    workers: int
    worker_gb: float
    redis_gb: float
    redis_cores: float
    postgres_cores: float
    projection_cores: float
    log_gb: float
    appends: float
    most_appends: float
    lists_after_s: float
    rebuild_s: float
    limits: tuple[str, ...]


def api_us(kind: str, movies: float) -> float:
    """Return the processor time of an API worker for a request."""
    cost = COSTS[kind]
    return cost.api + cost.api_per_million * movies / 1e6


def most_appends(machine: Machine) -> float:
    """Return the events/s that all writers together can append: they hold one lock in turn."""
    held_ms = (COMMIT_MS.value + MAX_BATCH * COMMIT_EVENT_MS.value) / machine.speed
    return machine.partitions * MAX_BATCH / (held_ms + machine.flush_ms) * 1_000


def workers_for(load: Load, machine: Machine) -> float:
    """Return the API workers that the requests need, infinite if following takes all their time.

    Each worker follows every change, so a part of its time is gone however many there are.
    """
    asked_s = sum(load.rate(kind) * api_us(kind, load.movies) for kind, _ in load.mix) / 1e6
    following = load.rate("write") * FOLLOW_US.value / 1e6 / machine.speed
    free = machine.busy - following
    return asked_s / machine.speed / free if free > 0 else math.inf


def worker_bytes(load: Load) -> float:
    """Return the memory of one API worker."""
    return WORKER_MB.value * 2**20 + WORKER_BYTES.value * load.movies


def workers_per_node(load: Load, machine: Machine) -> int:
    """Return how many workers a machine has: one a core, unless memory allows fewer."""
    memory = machine.memory_gb * 2**30 * 0.8
    if machine.workers_share:
        own = WORKER_MB.value * 2**20
        fitting = (memory - WORKER_BYTES.value * load.movies) / own
    else:
        fitting = memory / worker_bytes(load)
    return max(0, min(machine.cores, int(fitting)))


def plan(load: Load, machine: Machine) -> Plan:
    """Return what a load needs."""
    workers, per_node = workers_for(load, machine), workers_per_node(load, machine)
    writes = load.rate("write")

    def cores(part: str) -> float:
        used = sum(load.rate(kind) * getattr(COSTS[kind], part) for kind, _ in load.mix)
        return used / 1e6 / machine.speed

    redis, projection = cores("redis"), cores("projection")
    most = most_appends(machine) * machine.busy
    limits = {
        "memory of a node: it cannot hold one worker's records": per_node == 0,
        "following: workers have no time left beside the changes of others": math.isinf(workers),
        "appends: one writer at a time": writes > most,
        "projection: one process": projection > machine.busy * machine.partitions,
        "Redis: one thread": redis > machine.busy,
    }
    is_possible = per_node and not math.isinf(workers)
    return Plan(
        nodes=max(2, math.ceil(workers / per_node)) if is_possible else 0,
        workers=math.ceil(workers) if is_possible else 0,
        worker_gb=worker_bytes(load) / 2**30,
        redis_gb=REDIS_BYTES.value * load.movies / 2**30,
        redis_cores=redis,
        postgres_cores=cores("postgres"),
        projection_cores=projection,
        log_gb=LOG_BYTES.value * load.movies * load.events_per_movie / 2**30,
        appends=writes,
        most_appends=most,
        lists_after_s=LOAD_US.value * load.movies / 1e6 / machine.speed,
        rebuild_s=REBUILD_US.value * load.movies / 1e6 / machine.speed,
        limits=tuple(text for text, is_exceeded in limits.items() if is_exceeded),
    )


SCENARIOS = (
    Load(100_000, 1_000),
    Load(1_000_000, 10_000),
    Load(10_000_000, 10_000),
    Load(10_000_000, 30_000),
    Load(100_000_000, 30_000),
    Load(100_000_000, 100_000),
)


def table(machine: Machine, loads: tuple[Load, ...] = SCENARIOS) -> str:
    """Return the plans of some loads as Markdown, a column for each."""
    plans = [plan(load, machine) for load in loads]
    rows = {
        "nodes": [f"{one.nodes:,}" if one.nodes else "-" for one in plans],
        "API workers": [f"{one.workers:,}" if one.workers else "-" for one in plans],
        "GB an API worker": [f"{one.worker_gb:.1f}" for one in plans],
        "Redis: GB": [f"{one.redis_gb:.1f}" for one in plans],
        "Redis: cores": [f"{one.redis_cores:.2f}" for one in plans],
        "PostgreSQL: cores": [f"{one.postgres_cores:.2f}" for one in plans],
        "PostgreSQL: GB of log": [f"{one.log_gb:.1f}" for one in plans],
        "projection: cores": [f"{one.projection_cores:.2f}" for one in plans],
        "appends/s": [f"{one.appends:,.0f}" for one in plans],
        "at most": [f"{one.most_appends:,.0f}" for one in plans],
        "lists after a start": [f"{one.lists_after_s:,.0f} s" for one in plans],
        "rebuild": [f"{one.rebuild_s:,.0f} s" for one in plans],
        "**exceeded**": [", ".join(map(_name, one.limits)) or "-" for one in plans],
    }
    heads = [f"{load.movies:,.0f} movies, {load.requests:,.0f}/s" for load in loads]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(loads)) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in rows.items())])


def _name(limit: str) -> str:
    return limit.partition(":")[0]


def assumptions() -> str:
    """Return all assumptions as Markdown, each with the command that measured it."""
    heads = ["request", "API worker us", "more for a million movies"]
    heads += ["Redis us", "PostgreSQL us", "projection us"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {kind} | {' | '.join(f'{one:g}' for one in COSTS[kind])} |" for kind in COSTS]
    lines += ["", "| value | | measured by |", "|---|---|---|"]
    named = [one for one in globals().values() if isinstance(one, Assumption)]
    lines += [f"| {one.value:g} | {one.unit} | `{one.measured_by}` |" for one in named]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=float)
    parser.add_argument("--requests", type=float, help="in a second")
    parser.add_argument("--writes", type=float, help="their share of the requests, 0 to 1")
    parser.add_argument("--assumptions", action="store_true", help="print what was measured")
    for field in dataclasses.fields(Machine):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    options = parser.parse_args()
    names = [field.name for field in dataclasses.fields(Machine)]
    machine = Machine(**{name: getattr(options, name) for name in names})
    if options.assumptions:
        print(assumptions())
    elif options.movies and options.requests:
        load = Load(options.movies, options.requests)
        if options.writes is not None:
            load = with_writes(load, options.writes)
        for name, value in dataclasses.asdict(plan(load, machine)).items():
            print(
                f"{name:18} {'; '.join(value) or 'none' if name == 'limits' else f'{value:,.4g}'}"
            )
    else:
        print(table(machine))


def with_writes(load: Load, share: float) -> Load:
    """Return a load with another share of writes; the shares of the reads keep their ratios."""
    mix = dict(load.mix)
    reads = 1 - mix["write"]
    changed = {kind: part * (1 - share) / reads for kind, part in mix.items()} | {"write": share}
    return dataclasses.replace(load, mix=tuple(changed.items()))


if __name__ == "__main__":
    main()
