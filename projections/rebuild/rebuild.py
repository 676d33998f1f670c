"""Builds the read model again from the log, beside the live one, and puts it in its place.

The live generation serves and takes events all the while. A rebuild that is interrupted leaves it
as it is; what it left behind itself, the next one drops. Readers see one generation or the other,
at the same position: the live one is held for the moment of the switch.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from commands.errors import ReadModelUnavailableError, RebuildRunningError, StoreDamagedError
from commands.event_store.store import Store
from projections.follow.lease import Lease
from projections.follow.subscription import catch_up
from projections.generation import lifecycle
from projections.generation.pause import pause
from projections.generation.reader import NAMES, Fields, count, read, scan
from projections.generation.state import BUILDING, DAMAGED, LIVE, REPLAYING
from projections.generation.writer import GenerationWriter
from projections.keys import REBUILDING
from projections.rebuild.diff import DiffReport, differences
from projections.rebuild.parked import parked_in
from projections.rebuild.replay import ReplayProgress, finish, replay

Replayer = Callable[[Store, GenerationWriter, int], Iterator[ReplayProgress]]
OnProgress = Callable[[str, int, int], None]
# Of the time the live generation is held: what may pass between Redis's look at it and our switch.
_MARGIN_MS = 500
_TRIES = 20
# Events that are applied in one step: Redis does nothing else in the meantime.
_FOLLOWED = 100


class RebuildResult(NamedTuple):
    """The new live generation, and what differed in the one before."""

    generation: int
    position: int
    events: int
    movies: int
    parked: int
    compared: int
    """How many fields; 0 where there was none to compare with."""
    diff: DiffReport


@dataclass(frozen=True)
class ExpectedFromGeneration:
    """The ``Expected`` of a generation that is being built, which is brought along."""

    store: Store
    view: GenerationWriter

    def all(self) -> Iterator[dict[str, Fields]]:
        """Yield everything, key by key."""
        for name in NAMES:
            for fields in scan(self.view, name):
                yield {name: fields}

    def at(self, position: int, name: str, fields: Collection[bytes]) -> Fields:
        """Return what there is of some fields at a position."""
        catch_up(self.store, self.view, position, limit=_FOLLOWED)
        return read(self.view, name, fields)[1]

    def counts(self, position: int) -> dict[str, int]:
        """Return how much there is of everything at a position."""
        catch_up(self.store, self.view, position, limit=_FOLLOWED)
        return count(self.view).of


def rebuild(
    store: Store,
    redis: Any,
    *,
    replay: Replayer = replay,
    advance: OnProgress = lambda _what, _done, _total: None,
) -> RebuildResult:
    """Rebuild, compare, switch, drop the old one.

    ``advance`` is told what is being done, how much of it and of how much. Raises
    StoreDamagedError where the event store is damaged, RebuildRunningError, and
    ReadModelUnavailableError where Redis is wiped meanwhile.
    """
    if (damage := store.integrity.quick_check()) is not None:
        raise StoreDamagedError(damage)
    lease = Lease(redis, key=REBUILDING)
    _check(lease)
    try:
        lifecycle.drop_leftovers(redis)
        view = lifecycle.new(redis, state=REPLAYING)
        view.set_log(str(store.identity()))
        try:
            return _rebuild(store, view, replay, lease, advance)
        except BaseException:
            with suppress(RedisError):
                if lifecycle.live_number(redis) != view.number:
                    lifecycle.drop(redis, view.number)
            raise
    finally:
        with suppress(RedisError):
            lease.release()


def _rebuild(
    store: Store, view: GenerationWriter, replay: Replayer, lease: Lease, advance: OnProgress
) -> RebuildResult:
    until, total = store.head(), store.count()
    done = applied = 0
    for step in replay(store, view, until):
        _check(lease)
        done, applied = done + step.read, applied + step.applied
        advance("rebuild", done, total)
    store.integrity.check_count(until, done)
    lifecycle.check_not_fewer(store, view.redis)
    finish(store, view, until, applied, BUILDING)
    compared, report = 0, DiffReport()
    live = _comparable(store, view, until)
    if live is not None:
        total = count(view).total

        def reached(done: int) -> None:
            nonlocal compared
            _check(lease)
            compared = done
            advance("compare", done, max(done, total))

        parked = parked_in(live)
        for found in differences(
            ExpectedFromGeneration(store, view), live, ignored=parked, advance=reached
        ):
            report.add(found)
    _switch(store, view)
    catch_up(store, view, store.head(), limit=_FOLLOWED)
    total = count(view).total // lifecycle.SWEEP_STEP
    for done, _ in enumerate(lifecycle.sweep(view.redis), 1):
        _check(lease)
        advance("drop", done, max(done, total))
    head, there = view.read_state(), count(view).of
    position = head.position if head else until
    movies, aside = there["rows"], there["parked"]
    return RebuildResult(view.number, position, there["events"], movies, aside, compared, report)


def _comparable(store: Store, view: GenerationWriter, until: int) -> GenerationWriter | None:
    """Return the live generation, at a position not before ``until``; None where that cannot be."""
    live = lifecycle.live_generation(view.redis)
    head = live.read_state(store) if live else None
    # Rows of another format differ, whatever they say.
    if live is None or head is None or head.state not in (LIVE, DAMAGED):
        return None
    if head.position < until:
        try:
            catch_up(store, live, until, limit=_FOLLOWED)  # nobody else may be there to do it
        except ReadModelUnavailableError:
            return None
    return live


def _switch(store: Store, view: GenerationWriter) -> None:
    """Let readers see the new generation from the position on that the live one is at."""
    redis = view.redis
    for _ in range(_TRIES):
        live = lifecycle.live_generation(redis)
        head = live.read_state(store) if live else None
        if live is None or head is None or head.state != LIVE:
            catch_up(store, view, store.head(), limit=_FOLLOWED)
            if lifecycle.go_live(redis, view, instead_of=live.number if live else 0):
                return
            continue
        catch_up(store, view, head.position, limit=_FOLLOWED)
        with pause(live) as held:
            catch_up(store, view, held.position)
            last_ms = held.until_ms - _MARGIN_MS
            if lifecycle.go_live(redis, view, instead_of=live.number, before_ms=last_ms):
                return
    raise ReadModelUnavailableError("something else builds it all the time")


def _check(lease: Lease) -> None:
    if not lease.acquire_or_renew():
        raise RebuildRunningError
