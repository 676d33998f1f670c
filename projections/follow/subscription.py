"""Follows the log into the live generation, or into a new one where none is live."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from commands.errors import (
    EventStoreUnavailableError,
    ReadModelUnavailableError,
    StoreDamagedError,
)
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.completeness import check_complete, check_not_fewer
from projections.generation.state import (
    BUILDING,
    LIVE,
    OTHER_FORMAT,
    ROW_FORMAT,
    is_of_log,
    name_of,
)
from projections.generation.writer import EventsNotApplicableError, GenerationWriter

BATCH = 1000
HELD_PAUSE_S = 0.005
SWEEP_S = 0.02
# One that was live for so long was lost by something else than what it was built from.
_SETTLED_S = 60
_FIRST_REST_S, _LONGEST_REST_S = 0.1, 30.0
# A refusal may come from rows read a moment too early; the second one counts.
_TRIES_BEFORE_PARKING = 2
log = structlog.get_logger(__name__)


OnApplied = Callable[[Sequence[RecordedEvent], int], None]
"""Told of events that readers see now, and when that began, in nanoseconds since 1970."""


class Subscription:
    """Applies the log batch by batch. Safe beside others that do the same: the view compares.

    Where the live generation is of no use (a fresh, wiped or damaged Redis, one that was built from
    another log or with another row format), the log is replayed into a new one, which goes live
    when it has caught up.
    """

    def __init__(
        self,
        store: Store,
        redis: Any,
        *,
        limit: int = BATCH,
        on_shown: OnApplied | None = None,
        row_format: int = ROW_FORMAT,
    ) -> None:
        self._on_shown = on_shown
        self._row_format = row_format
        self._store = store
        self._redis = redis
        self._limit = limit
        self._view: GenerationWriter | None = None
        self._live = False
        self._pointer: int | None = None
        self._highest = 0
        self._settled_at = 0.0
        self._rest_s = 0.0
        self._rest_until = 0.0
        self._last = ""
        self._log = ""
        self.position = 0

    def step(self) -> bool:
        """Apply the next batch; True once a live generation shows the whole log.

        Raises what the store and Redis raise when they are away; nothing is lost by trying again.
        """
        if (rest_s := self._rest_until - time.monotonic()) > 0:
            time.sleep(min(rest_s, _FIRST_REST_S))
            return False
        view = self._current()
        batch = self._read_on()
        if batch is None:
            self._check_log()
            self._view = None
            return False
        began_ns = time.time_ns()
        if not batch:
            self._sweep()
        # Nothing to apply: look whether the generation is still there, or Redis may stay empty.
        position = apply_batch(view, batch, self.position) if batch else self._look(view)
        if position is None:
            self._lose(view)
            return False
        if batch and not self._applied(view, batch, position):
            return False
        self.position = position
        if self._on_shown and self._live and batch:
            self._on_shown(batch, began_ns)
        if len(batch) == self._limit:
            return False
        if not self._live:
            self._go_live(view)
        return self._live

    def _current(self) -> GenerationWriter:
        """Return the generation to apply to, found anew where another one, or log, took over."""
        continuity = self._store.continuity
        continuity.refresh()
        if continuity.replaced:
            raise EventStoreUnavailableError("another log has taken its place")
        if (
            self._view is None
            or self._log != continuity.text
            or lifecycle.live_number(self._redis) != self._pointer
        ):
            return self._find()
        return self._view

    def _read_on(self) -> list[RecordedEvent] | None:
        """Return the events that follow; None where the last one that was applied is gone.

        Both are read at one time: nothing is applied on top of what a log has lost.
        """
        batch = self._store.read(max(0, self.position - 1), self._limit + bool(self.position))
        if not self.position:
            return batch
        return batch[1:] if batch and name_of(batch[0]) == self._last else None

    def _find(self) -> GenerationWriter:
        """Return the live generation, or one to build."""
        self._view = None
        self._log = str(self._store.identity())
        number = self._pointer = lifecycle.live_number(self._redis)
        self._highest = max(self._highest, number or 0)
        view = (
            GenerationWriter(self._redis, number, self._row_format) if number is not None else None
        )
        position = self._look(view) if view else None
        self._live = position is not None
        if view is not None and self._live:
            # First of all, so that nobody reads an earlier one beside what is applied from now on.
            lifecycle.drop_others(self._redis, view.number)
        else:
            unfit = view.read_state() if view else None
            view = lifecycle.begin(self._redis, above=self._highest, row_format=self._row_format)
            self._highest = max(self._highest, view.number)
            log.info("building", generation=view.number, live=unfit.state if unfit else None)
            position = self._look(view)
        self.position = position or 0
        if not position:
            self._last = ""
        view.set_log(self._log)
        self._view = view
        return view

    def _lose(self, view: GenerationWriter) -> None:
        """Begin another one next time, after a rest that grows where they are lost again and again.

        A Redis that evicts keys, say, would lose every one, and to build them would be all we do.
        """
        now = time.monotonic()
        if self._live and now > self._settled_at:
            self._rest_s = 0.0
        log.warning("generation is gone", generation=view.number, rest_s=self._rest_s)
        self._rest_until = now + self._rest_s
        self._rest_s = min(_LONGEST_REST_S, self._rest_s * 2 or _FIRST_REST_S)
        self._view = None

    def _applied(self, view: GenerationWriter, batch: list[RecordedEvent], position: int) -> bool:
        """Take note of what became of a batch; False where its end is not what is shown now."""
        if position == batch[-1].position:
            self._last = name_of(batch[-1])
            return True
        if position == self.position:
            time.sleep(HELD_PAUSE_S)
        else:  # another projection applied something else
            self._look(view)
        return False

    def _sweep(self) -> None:
        """Remove what is left of dropped generations, for a moment."""
        until = time.monotonic() + SWEEP_S
        for _ in lifecycle.sweep(self._redis):
            if time.monotonic() > until:
                return

    def _look(self, view: GenerationWriter) -> int | None:
        """Return a generation's position, None where it is of no use."""
        head = view.read_state()
        if head is None or head.state not in (BUILDING, LIVE, OTHER_FORMAT):
            return None
        if not is_of_log(self._store, head):
            self._check_log()
            log.warning("generation of another log", generation=view.number)
            view.retire()
            return None
        if head.state == OTHER_FORMAT:
            return None
        view.stand_at(head.position)
        self.position, self._last = head.position, head.last
        return head.position

    def _check_log(self) -> None:
        """Raise StoreDamagedError where what was applied is gone from the log by damage.

        What is shown then stays: there is nothing better to build another generation from.
        """
        if reason := self._store.integrity.quick_check():
            raise StoreDamagedError(reason)

    def _go_live(self, view: GenerationWriter) -> None:
        check_complete(self._store, self.position)
        check_not_fewer(self._store, self._redis)
        self._live = lifecycle.go_live(self._redis, view, instead_of=self._pointer or 0)
        if self._live:
            self._settled_at = time.monotonic() + _SETTLED_S
            self._pointer = view.number
            log.info("live", generation=view.number, position=self.position)
        else:
            self._view = None


def apply_batch(view: GenerationWriter, batch: list[RecordedEvent], after: int) -> int | None:
    """Apply a batch as ``GenerationWriter.apply`` does, and park what cannot be applied."""
    refused: dict[str, dict[str, Any]] = {}
    for _ in range(_TRIES_BEFORE_PARKING):
        try:
            return view.apply(batch, after)
        except EventsNotApplicableError as error:
            refused = error.refused
    position = view.apply(batch, after, park=True)
    if position == batch[-1].position:
        for key, why in refused.items():
            log.error("parked", stream=key, **why)
    return position


def follow(store: Store, view: GenerationWriter, until: int, *, limit: int = BATCH) -> None:
    """Bring a generation to a position, which may be one that it has passed.

    Raises ReadModelUnavailableError where it is gone, or held by someone.
    """
    position = view.checkpoint()
    while position is not None and position < until:
        batch = store.read(position, limit, until)
        if not batch:
            return
        reached = apply_batch(view, batch, position)
        if reached == position:
            time.sleep(HELD_PAUSE_S)
        position = reached
    if position is None:
        raise ReadModelUnavailableError(f"generation {view.number} is gone")
