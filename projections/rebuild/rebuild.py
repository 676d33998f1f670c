"""Rebuilds the read model from the log beside the live generation, and switches to the new one.

The live generation serves readers and takes events all the while. An interrupted rebuild leaves it
as it is; the next rebuild drops what the first one left. At the switch both generations are at the
same position: the live one is paused for that moment.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from commands.errors import ReadModelUnavailableError, RebuildRunningError, StoreDamagedError
from commands.event_store.log_reader import LONG_WAIT_S, LogReader
from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.follow.subscription import catch_up
from projections.generation import lifecycle
from projections.generation.floor import Floor
from projections.generation.pause import SWITCH_MARGIN_MS, pause
from projections.generation.reader import count
from projections.generation.state import BUILDING, DAMAGED, LIVE, REPLAYING, Generation
from projections.generation.writer import GenerationWriter
from projections.keys import REBUILDING
from projections.rebuild.diff import Comparison, DiffReport
from projections.rebuild.expected import ExpectedState
from projections.rebuild.parked import parked_in
from projections.rebuild.progress import ProgressReport, RebuildProgress
from projections.rebuild.replay import ReplayProgress, finish, replay

Replayer = Callable[[LogReader, Generation, int], Iterator[ReplayProgress]]
OnProgress = Callable[[str, int, int], None]
"""Called with the phase, the number of its steps done, and of all its steps."""
_MAX_SWITCHES = 20
# Events applied in one step: Redis serves nothing else meanwhile.
_BATCH = 100


class RebuildResult(NamedTuple):
    """The new live generation, and the differences of the previous one."""

    generation: int
    position: int
    events: int
    movies: int
    parked: int
    compared: int
    """The number of fields compared; 0 if no previous generation could be."""
    diff: DiffReport


def rebuild(
    store: Store,
    redis: Any,
    *,
    source: LogReader | None = None,
    replay: Replayer = replay,
    advance: OnProgress = lambda _phase, _done, _total: None,
) -> RebuildResult:
    """Replay, compare, switch, drop the previous generation.

    Most is read from ``source``, by default the store itself.
    Raises StoreDamagedError if the event store is damaged, RebuildRunningError, and
    ReadModelUnavailableError if Redis is wiped meanwhile.
    """
    if (damage := store.integrity.quick_check()) is not None:
        raise StoreDamagedError(damage)
    lease, report = Lease(redis, key=REBUILDING), ProgressReport(redis)

    def keep_on(phase: str, done: int, total: int) -> None:
        _renew(lease)
        report.reach(RebuildProgress(phase, done, max(done, total)))
        advance(phase, done, max(done, total))

    _renew(lease)
    try:
        lifecycle.drop_leftovers(redis)
        floor = Floor(store, redis)
        new = lifecycle.new(redis, above=floor.lowest(), state=REPLAYING)
        new.set_log(str(store.identity()))
        try:
            return _rebuild(store, source or store, new, replay, keep_on, floor=floor)
        except BaseException:
            with suppress(RedisError):
                if lifecycle.live_number(redis) != new.number:
                    lifecycle.drop(redis, new.number)
            raise
    finally:
        with suppress(RedisError):
            report.end()
            lease.release()


def _renew(lease: Lease) -> None:
    if not lease.acquire_or_renew():
        raise RebuildRunningError


def _rebuild(  # noqa: PLR0913 - each is a part of one rebuild
    store: Store,
    source: LogReader,
    new: GenerationWriter,
    replay: Replayer,
    keep_on: OnProgress,
    *,
    floor: Floor,
) -> RebuildResult:
    until = store.head()
    with source.reading(until, current=False, wait_s=LONG_WAIT_S):
        total, progress = source.count(), ReplayProgress()
        for step in replay(source, new, until):
            progress = progress.plus(step)
            keep_on("rebuild", progress.read, total)
        source.integrity.check_count(until, progress.read)
        lifecycle.check_not_fewer(store, new.redis)
        finish(source, new, until, progress, BUILDING)
        compared, diff = _compare(source, new, until, keep_on)
    _switch(store, new)
    floor.note(new.number)
    catch_up(store, new, store.head(), limit=_BATCH)
    steps = count(new).total // lifecycle.SWEEP_STEP
    for done, _ in enumerate(lifecycle.sweep(new.redis), 1):
        keep_on("drop", done, steps)
    position, entries = count(new)
    return RebuildResult(
        new.number,
        position,
        entries["events"],
        movies=entries["rows"],
        parked=entries["parked"],
        compared=compared,
        diff=diff,
    )


def _compare(
    store: LogReader, new: Generation, until: int, keep_on: OnProgress
) -> tuple[int, DiffReport]:
    """Return the number of fields compared and the differences of the live generation, if any."""
    live = lifecycle.live_generation(new.redis)
    state = live.read_state(store) if live else None
    if live is None or state is None or state.state not in (LIVE, DAMAGED):
        return 0, DiffReport()
    expected = ExpectedState(store, until, replayed=new)
    comparison = Comparison(expected, live, ignored=parked_in(live))
    for _ in comparison.differences(lambda done, total: keep_on("compare", done, total)):
        pass
    return comparison.compared, comparison.report


def _switch(store: Store, new: GenerationWriter) -> None:
    """Show the new generation to readers, at the position of the live one."""
    redis = new.redis
    for _ in range(_MAX_SWITCHES):
        live = lifecycle.live_generation(redis)
        state = live.read_state(store) if live else None
        if live is None or state is None or state.state != LIVE:
            catch_up(store, new, store.head(), limit=_BATCH)
            if lifecycle.go_live(redis, new, instead_of=live.number if live else 0):
                return
            continue
        catch_up(store, new, state.position, limit=_BATCH)
        with pause(live) as paused:
            catch_up(store, new, paused.position)
            deadline_ms = paused.until_ms - SWITCH_MARGIN_MS
            if lifecycle.go_live(redis, new, instead_of=live.number, before_ms=deadline_ms):
                return
    raise ReadModelUnavailableError("something else builds it all the time")
