"""A catch-up subscription: follows the log into the live generation, or builds a new one."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from projections.generation.floor import Floor
from projections.generation.pause import SWITCH_MARGIN_MS, pause
from projections.generation.state import (
    OTHER_FORMAT,
    OTHER_LOG,
    ROW_FORMAT,
    Generation,
    event_name,
)
from projections.generation.writer import EventsNotApplicableError, GenerationWriter

BATCH = 1000
_PAUSED_RETRY_S = 0.005
_SWEEP_S = 0.02
# A generation that was live for longer was lost for another reason than the one before it.
_SETTLED_S = 60
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 30.0
# The first refusal may come from rows that were read a moment too early.
_TRIES_BEFORE_PARKING = 2
log = structlog.get_logger(__name__)


OnApplied = Callable[[Sequence[RecordedEvent], int], None]
"""Called with events that readers see now, and the start of their batch in ns since 1970."""


class Subscription:
    """Applies the log batch by batch. Several may run at once.

    If the live generation is not usable (a fresh, wiped or damaged Redis, one in an older state,
    another log, another row format), the log is replayed into a new one. That goes live when it has
    caught up, unless ``may_build`` says that this is left to a newer release.
    """

    def __init__(  # noqa: PLR0913 - all but the first two have defaults
        self,
        store: Store,
        redis: Any,
        *,
        limit: int = BATCH,
        on_shown: OnApplied | None = None,
        row_format: int = ROW_FORMAT,
        may_build: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._redis = redis
        self._limit = limit
        self._on_shown = on_shown
        self._row_format = row_format
        self._may_build = may_build
        self._floor = Floor(store, redis)
        self._writer: GenerationWriter | None = None
        self._is_live = False
        self._live_number: int | None = None
        self._highest_number = 0
        self._settled_at = 0.0
        self._backoff_s = 0.0
        self._retry_at = 0.0
        self._log = ""
        self.position = 0
        self._last = ""  # the name of the event at this position

    def process_batch(self) -> bool:
        """Apply the next batch; return True once a live generation shows the whole log.

        Raises the errors of the store and Redis; a retry loses nothing.
        """
        if (rest_s := self._retry_at - time.monotonic()) > 0:
            time.sleep(min(rest_s, _FIRST_BACKOFF_S))
            return False
        writer = self._current_writer()
        batch = self._read_next()
        if batch is None:
            self._check_log()
            self._writer = None
            return False
        began_ns = time.time_ns()
        if batch:
            position = apply_batch(writer, batch, self.position)
        else:  # look whether the generation still exists, or Redis might stay empty
            self._sweep()
            position = self._seek(writer)
        if position is None:
            self._abandon(writer)
            return False
        if batch and not self._advance(writer, batch, position):
            return False
        self.position = position
        if self._on_shown and self._is_live and batch:
            self._on_shown(batch, began_ns)
        if len(batch) == self._limit:
            return False
        if not self._is_live:
            self._go_live(writer)
        if self._is_live:
            self._floor.note(writer.number)
        return self._is_live

    def _current_writer(self) -> GenerationWriter:
        """Return the writer; a new one if another generation or log has taken over."""
        continuity = self._store.continuity
        continuity.refresh()
        if continuity.replaced:
            raise EventStoreUnavailableError("another log has taken its place")
        if (
            self._writer is None
            or self._log != continuity.text
            or lifecycle.live_number(self._redis) != self._live_number
            or (self._is_live and self._floor.is_above(self._writer.number))
        ):
            self._writer = None
            self._writer = self._find_writer()
        return self._writer

    def _read_next(self) -> list[RecordedEvent] | None:
        """Return the next events; None if the log has lost the last one that was applied.

        One read returns both, so that nothing is applied to a log that has lost events.
        """
        batch = self._store.read(max(0, self.position - 1), self._limit + bool(self.position))
        if not self.position:
            return batch
        return batch[1:] if batch and event_name(batch[0]) == self._last else None

    def _find_writer(self) -> GenerationWriter:
        """Return a writer of the live generation, or of one to build."""
        self._log = str(self._store.identity())
        floor = self._floor.lowest()
        number = self._live_number = lifecycle.live_number(self._redis)
        self._highest_number = max(self._highest_number, number or 0, floor)
        live = number and GenerationWriter(self._redis, number, self._row_format)
        if live and live.number < floor:
            log.error("Redis went back to an older state", live=number, expected=floor)
            live.retire()
        position = self._seek(live) if live else None
        self._is_live = position is not None
        if live and self._is_live:
            # Before anything is applied: no client may read an earlier generation beside it.
            if self._may_build():  # else a newer release is building one
                lifecycle.drop_others(self._redis, live.number)
            writer = live
        elif not self._may_build():
            raise ReadModelUnavailableError("a newer release builds it")
        else:
            state = live.read_state() if live else None
            writer = lifecycle.begin(
                self._redis, above=self._highest_number, floor=floor, row_format=self._row_format
            )
            self._highest_number = max(self._highest_number, writer.number)
            log.info("building", generation=writer.number, live=state.state if state else None)
            position = self._seek(writer)
        self.position = position or 0
        if not position:
            self._last = ""
        writer.set_log(self._log)
        return writer

    def _seek(self, writer: GenerationWriter) -> int | None:
        """Continue at the checkpoint of a generation; return it, None if it takes no events."""
        state = writer.read_state(self._store)
        if state and state.state == OTHER_LOG:
            self._check_log()
            log.warning("generation of another log", generation=writer.number)
            writer.retire()
        if state is None or not state.takes_events:
            return None
        writer.seek(state.position)
        self.position, self._last = state.position, state.last
        return state.position

    def _advance(self, writer: GenerationWriter, batch: list[RecordedEvent], position: int) -> bool:
        """Continue after a batch; return False if the generation is not at its end."""
        if position == batch[-1].position:
            self._last = event_name(batch[-1])
            return True
        if position == self.position:
            time.sleep(_PAUSED_RETRY_S)
        else:  # another projection applied another batch
            self._seek(writer)
        return False

    def _abandon(self, writer: GenerationWriter) -> None:
        """Build another generation next time, with a growing backoff if they are lost repeatedly.

        A Redis that evicts keys would lose each, and the projection would do nothing but build.
        """
        now = time.monotonic()
        if self._is_live and now > self._settled_at:
            self._backoff_s = 0.0
        log.warning("generation is gone", generation=writer.number, rest_s=self._backoff_s)
        self._retry_at = now + self._backoff_s
        self._backoff_s = min(_MAX_BACKOFF_S, self._backoff_s * 2 or _FIRST_BACKOFF_S)
        self._writer = None

    def _sweep(self) -> None:
        """Remove keys of dropped generations for a moment."""
        deadline = time.monotonic() + _SWEEP_S
        for _ in lifecycle.sweep(self._redis):
            if time.monotonic() > deadline:
                return

    def _check_log(self) -> None:
        """Raise StoreDamagedError if damage to the log may explain why an applied event is lost.

        The live generation then stays: there is no better log to build another one from.
        """
        if reason := self._store.integrity.quick_check():
            raise StoreDamagedError(reason)

    def _go_live(self, writer: GenerationWriter) -> None:
        self._store.integrity.check_complete(self.position)
        lifecycle.check_not_fewer(self._store, self._redis)
        with self._other_format_paused(writer) as before_ms:
            self._is_live = lifecycle.go_live(
                self._redis, writer, instead_of=self._live_number or 0, before_ms=before_ms
            )
        if self._is_live:
            self._seek(writer)
            self._settled_at = time.monotonic() + _SETTLED_S
            self._live_number = writer.number
            log.info("live", generation=writer.number, position=self.position)
        else:
            self._writer = None

    @contextmanager
    def _other_format_paused(self, writer: GenerationWriter) -> Iterator[int | None]:
        """Pause the generation that another release keeps up to date, and catch up with it.

        So no reader sees the position go back. Yields when the switch must be over, by Redis's
        clock in ms; None if there is nothing to pause.
        """
        live = lifecycle.live_generation(self._redis, self._row_format)
        state = live.read_state() if live else None
        # No release keeps up a generation whose format is no number.
        if live is None or state is None or state.state != OTHER_FORMAT or state.format < 1:
            yield None
            return
        with pause(Generation(self._redis, live.number, state.format)) as paused:
            catch_up(self._store, writer, paused.position)
            yield paused.until_ms - SWITCH_MARGIN_MS


def apply_batch(writer: GenerationWriter, batch: list[RecordedEvent], after: int) -> int | None:
    """Apply a batch as ``GenerationWriter.apply`` does, and park what cannot be applied."""
    refused: dict[str, dict[str, Any]] = {}
    for _ in range(_TRIES_BEFORE_PARKING):
        try:
            return writer.apply(batch, after)
        except EventsNotApplicableError as error:
            refused = error.refused
    position = writer.apply(batch, after, park=True)
    if position == batch[-1].position:
        for key, why in refused.items():
            log.error("parked", stream=key, **why)
    return position


def catch_up(store: Store, writer: GenerationWriter, until: int, *, limit: int = BATCH) -> None:
    """Apply the log to a generation up to a position, unless it is beyond it already.

    Raises ReadModelUnavailableError if the generation takes no events.
    """
    position = writer.checkpoint()
    while position is not None and position < until:
        batch = store.read(position, limit, until)
        if not batch:
            return
        reached = apply_batch(writer, batch, position)
        if reached == position:  # paused
            time.sleep(_PAUSED_RETRY_S)
        position = reached
    if position is None:
        raise ReadModelUnavailableError(f"generation {writer.number} is gone")
