"""Faults: what happens to a primary, or to any process, and how it is undone."""

import math
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.ha.machines import until

_SERVERS = {"postgres": "postgres", "redis": "redis-server"}


@dataclass
class Figure:
    """One fault, and the seconds until each kind of call succeeded; None if none did in time."""

    fault: str
    write_s: float | None
    list_s: float | None
    shown_s: float | None
    """Until a write was answered that lists show."""
    is_failover: bool
    whole_s: float = 0.0

    @property
    def longest_s(self):
        times = (self.write_s, self.list_s, self.shown_s)
        return max(math.inf if one is None else one for one in times)

    @property
    def limit_s(self):
        """How long it may take on a machine without other work."""
        return 10.0 if self.is_failover else 5.0


def fail_over(stack, part, fault, load):
    """Take the primary of ``postgres`` or ``redis`` out until another one serves; return figures.

    ``fault``: ``killed`` (the server), ``machine killed``, ``paused`` or ``cut off``.
    """
    cluster = getattr(stack, part)
    machine = cluster.primary()
    server = _SERVERS[part]
    if fault == "killed":
        machine.send(signal.SIGKILL, running=server)
    elif fault == "machine killed":
        machine.kill()
    elif fault == "paused":
        # A sentinel that was paused takes no part for 30 s, so only the server is.
        machine.pause(running=server if part == "redis" else "")
    else:
        stack.network.cut_off(machine)
    figure = _measure(f"{part} {fault}", load, is_failover=True)
    until(lambda: _is_other(cluster, machine), 60, f"{part} {fault}: no other primary")
    time.sleep(1.0)
    stack.network.join()
    machine.resume()
    _restore(stack, figure)
    return figure


def kill_any(stack, load, chance):
    """``kill -9`` of one process of all: servers, managers, nodes; return figures."""
    primaries = [stack.postgres.primary(), stack.redis.primary()]
    choices = [(m.name, pid, m in primaries) for m in stack.machines for pid in m.process_ids()]
    for node in stack.nodes:
        choices.append(("supervisor", node.process.pid, False))
        for module in ("api_worker", "projection_worker"):
            choices += [(module, pid, False) for pid in node.processes(module)]
    # First a kind of process, then one of its kind: PostgreSQL has many.
    kinds = {}
    for place, pid, is_primary in choices:
        kinds.setdefault(_kind(pid), []).append((place, pid, is_primary))
    kind = chance.choice(sorted(kinds))
    place, pid, is_primary = chance.choice(kinds[kind])
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    figure = _measure(f"{kind} of {place}", load, is_failover=is_primary)
    time.sleep(chance.uniform(0.2, 2.0))
    stack.restart_ended()
    _restore(stack, figure)
    return figure


def _kind(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - the shortest here
            words = file.read().replace(b"\0", b" ").decode().split()
    except OSError:
        return "ended"
    if words and words[0].startswith("postgres:"):
        return " ".join(["postgres:", *[w for w in words[1:] if w != "cinelog:"][:1]])
    for word in words:
        for name in ("api_worker", "projection_worker", "patroni", "redis-sentinel", "etcd"):
            if name in word:
                return name
    return words[0].rsplit("/", 1)[-1] if words else "ended"


def _measure(name, load, *, is_failover):
    began = time.monotonic()
    write_s = load.wait_for_write(began, 60)
    list_s = load.wait_for_list(began, 60)
    shown_s = load.wait_for_write(began, 60, shown=True)
    return Figure(name, write_s, list_s, shown_s, is_failover)


def _restore(stack, figure):
    began = time.monotonic()
    stack.restart_ended()
    stack.wait_until_whole()
    figure.whole_s = time.monotonic() - began


def _is_other(cluster, machine):
    with suppress(Exception):  # nobody may know the primary now
        return cluster.primary() is not machine
    return False


def shuffled(faults, count, seed):
    """Return ``count`` faults, each kind as often as the others, in an order by chance."""
    chance = random.Random(seed)
    chosen = [faults[number % len(faults)] for number in range(count)]
    chance.shuffle(chosen)
    return chosen
