"""Measures failovers: ``make test-ha``.

    .venv/bin/python -m tests.ha.run --postgres 30 --sentinel 30 --cluster 4 --kills 100

Puts the load of ``tests/consistency`` on two nodes, takes primaries out in turn, and checks the
recorded history and the read model afterwards. Exit code 1 if a rule was broken.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.consistency.checker import check
from tests.ha import namespaces, patroni, redis_servers
from tests.ha.faults import fail_over, kill_any, shuffled
from tests.ha.load import Load
from tests.ha.lost_end import lose_end
from tests.ha.redis_servers import RedisCluster, SentinelServers
from tests.ha.stack import Stack
from tests.running import run

_MOST_SHOWN = 20
FAULTS = ["killed", "machine killed", "paused", "cut off"]


def main():
    missing = patroni.missing_programs() + redis_servers.missing_programs()
    missing += [name for name in ("nft", "ip", "unshare") if not shutil.which(name)]
    if missing:
        sys.exit(f"test-ha needs {', '.join(missing)}")
    namespaces.enter()
    options = _options()
    broken = []
    if options.postgres or options.sentinel or options.kills:
        broken += _run("sentinel", SentinelServers, options, options.sentinel, options.postgres)
    if options.cluster:
        broken += _run("cluster", RedisCluster, options, options.cluster, 0)
    if options.lost_ends:
        broken += _run_lost_ends(options)
    for line in broken[:_MOST_SHOWN]:
        print("BROKEN:", line)
    print("every promise was kept" if not broken else f"{len(broken)} promises were broken")
    sys.exit(1 if broken else 0)


def _run(name, kind, options, redis_count, postgres_count):
    folder = _new_folder()
    chance = random.Random(options.seed)
    with Stack(folder, kind) as stack, Load(stack.urls, options.seed) as load:
        began = time.monotonic()
        plan = [("postgres", one) for one in shuffled(FAULTS, postgres_count, options.seed)]
        plan += [("redis", one) for one in shuffled(FAULTS, redis_count, options.seed)]
        figures = []
        for part, fault in plan:
            figures.append(fail_over(stack, part, fault, load))
            _tell(figures[-1])
        for _ in range(options.kills if kind is SentinelServers else 0):
            figures.append(kill_any(stack, load, chance))
            _tell(figures[-1])
        load.end()
        stack.wait_until_whole()
        history = load.history()
        broken = [*map(str, check(history)), *_verify(stack)]
        _sum_up(name, figures, load, time.monotonic() - began)
        late = [one for one in figures if one.longest_s > one.limit_s]
        print(f"  {len(late)} of {len(figures)} took longer than they may")
    _clear(folder, options, broken)
    return broken


def _new_folder():
    folder = Path(tempfile.mkdtemp(prefix="cinelog-ha-"))
    folder.chmod(0o755)
    return folder


def _clear(folder, options, broken):
    if broken or options.keep:
        print("the logs are in", folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _run_lost_ends(options):
    folder = _new_folder()
    with Stack(folder, SentinelServers, synchronous=False) as stack:
        broken = []
        for _ in range(options.lost_ends):
            broken += lose_end(stack)
            stack.wait_until_whole()
        broken += _verify(stack)
    _clear(folder, options, broken)
    return broken


def _verify(stack):
    """Yield what ``cinelog verify`` finds wrong."""
    done = run(stack.nodes[0].data_dir, "verify", **stack.settings)
    if done.returncode:
        yield f"verify: {done.stdout}{done.stderr}"


def _tell(figure):
    print(
        f"  {figure.fault:32} write {_seconds(figure.write_s)}  list {_seconds(figure.list_s)}"
        f"  shown {_seconds(figure.shown_s)}  whole {_seconds(figure.whole_s)}",
        flush=True,
    )


def _sum_up(name, figures, load, took_s):
    groups = {}
    for figure in figures:
        is_named = figure.fault.split(" ", 1)[-1] in FAULTS
        other = "kill -9 at a primary" if figure.is_failover else "kill -9 elsewhere"
        groups.setdefault(figure.fault if is_named else other, []).append(figure)
    print(f"{name}: {len(figures)} faults in {took_s:.0f} s; seconds (median, longest)")
    for group, members in sorted(groups.items()):
        cells = [
            f"{kind} {statistics.median(times):5.2f} {max(times):5.2f}"
            for kind in ("write", "list", "shown")
            if (times := [t for one in members if (t := getattr(one, f"{kind}_s")) is not None])
        ]
        print(f"  {group:28} {len(members):3} times ", "  ".join(cells))
    ends = Counter(
        "acknowledged" if one.acknowledged else one.code or str(one.status)
        for one in load.operations
        if one.write
    )
    print("  writes:", ", ".join(f"{count} {end}" for end, count in ends.most_common()))


def _seconds(value):
    return "never" if value is None else f"{value:5.2f} s"


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--postgres", type=int, default=4, help="failovers of PostgreSQL")
    add("--sentinel", type=int, default=4, help="failovers of Redis under Sentinel")
    add("--cluster", type=int, default=4, help="failovers of Redis as a cluster")
    add("--kills", type=int, default=5, help="kills of any process, on PostgreSQL and Sentinel")
    add("--lost-ends", type=int, default=1, help="failovers that lose the end of the log")
    add("--seed", type=int, default=random.randrange(10_000), help="chooses faults and victims")
    add("--keep", action="store_true", help="keep the logs of all servers")
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    os.environ.pop("PYTHONWARNINGS", None)
    return options


if __name__ == "__main__":
    main()
