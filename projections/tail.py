"""Follows the log into the live generation, or into a new one where none is live."""

from typing import Any

import structlog

from commands.store import Recorded, Store
from projections import generations
from projections.view import LIVE, RefusedEventsError, View

BATCH = 1000
# A refusal may come from rows read a moment too early; the second one counts.
_TRIES_BEFORE_PARKING = 2
log = structlog.get_logger(__name__)


class Tail:
    """Applies the log batch by batch. Safe beside others that do the same: the view compares.

    Where no generation is live (a fresh or wiped Redis), the log is replayed into a new one, which
    goes live when it has caught up.
    """

    def __init__(self, store: Store, redis: Any, *, limit: int = BATCH) -> None:
        self._store = store
        self._redis = redis
        self._limit = limit
        self._view: View | None = None
        self._live = False
        self._highest = 0
        self.position = 0

    def step(self) -> bool:
        """Apply the next batch; True once a live generation shows the whole log.

        Raises what the store and Redis raise when they are away; nothing is lost by trying again.
        """
        view = self._view or self._find()
        batch = self._store.read(self.position, self._limit)
        # Nothing to apply: look whether the generation is still there, or Redis may stay empty.
        position = self._apply(view, batch) if batch else view.position()
        if position is None:
            log.warning("generation is gone", generation=view.generation)
            self._view = None
            return False
        self.position = position
        if len(batch) == self._limit or (batch and position != batch[-1].position):
            return False
        if not self._live:
            self._go_live(view)
        return self._live

    def _find(self) -> View:
        """Return the live generation, or one to build."""
        number = generations.live(self._redis)
        self._highest = max(self._highest, number or 0)
        view = View(self._redis, number) if number is not None else None
        head = view.head() if view else None
        self._live = head is not None and head.state == LIVE
        if view is None or not self._live:
            view = generations.begin(self._redis, above=self._highest)
            self._highest = max(self._highest, view.generation)
            log.info("building", generation=view.generation)
        self.position = view.position() or 0
        self._view = view
        return view

    def _go_live(self, view: View) -> None:
        self._live = generations.go_live(self._redis, view)
        if self._live:
            log.info("live", generation=view.generation, position=self.position)
        else:
            self._view = None

    def _apply(self, view: View, batch: list[Recorded]) -> int | None:
        for _ in range(_TRIES_BEFORE_PARKING):
            try:
                return view.apply(batch, self.position)
            except RefusedEventsError as error:
                refused = error.refused
        position = view.apply(batch, self.position, park=True)
        if position == batch[-1].position:
            for key, why in refused.items():
                log.error("parked", stream=key, **why)
        return position
