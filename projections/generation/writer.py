"""Applies events to a generation: a batch and its position become visible in one step.

1. A batch is applied only if the stored position is the one that it follows. So each event counts
   once, however often and by however many writers it is tried.
2. A generation takes no events unless its state is building or live (see ``state.py``).
3. It takes none while it is paused. A repair begins a new epoch, and batches that were prepared
   before it do not apply.
4. A change of the live generation is announced in the same step: its position is published, and
   the records of the movies that changed are appended to a stream.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from commands.event_store.event_codec import RecordedEvent
from projections.generation.state import CONSTANTS, ROW_FORMAT, Generation, event_name, event_time
from projections.lua import arguments, load_script, number_field, of_another_type
from projections.movie_rows import PriorState, fold_batch, increments, required_state

# Usernames never change, so a writer may cache them.
_CACHED_USERS = 50_000
KEPT_POSITIONS = 20_000
"""Changes of so many positions are kept for those who follow the live generation."""
_APPLY_BATCH = load_script(
    "projections.lua.generation.apply_batch", CONSTANTS | {"KEPT_POSITIONS": KEPT_POSITIONS}
)


class _Epoch(NamedTuple):
    """The repair epoch, and the parked streams in it."""

    number: int
    parked: set[str]


class EventsNotApplicableError(Exception):
    """Events that cannot be applied. ``refused`` is that of ``ReadModelChanges``."""

    def __init__(self, refused: dict[str, dict[str, Any]]) -> None:
        super().__init__(
            f"{len(refused)} streams cannot be applied: {next(iter(refused.values()))}"
        )
        self.refused = refused


class GenerationWriter(Generation):
    """Applies events to one generation. For one thread; several writers may race."""

    def __init__(self, redis: Any, number: int, row_format: int = ROW_FORMAT) -> None:
        super().__init__(redis, number, row_format)
        self._users: dict[str, str] = {}
        self._epoch: _Epoch | None = None
        self._position = -1

    def checkpoint(self) -> int | None:
        """Return the position that the next batch follows; None if no events can be applied."""
        position = super().checkpoint()
        if position is not None:
            self.seek(position)
        return position

    def apply(
        self, batch: Sequence[RecordedEvent], after: int, *, park: bool = False
    ) -> int | None:
        """Apply ``batch``, the events that follow position ``after``; return the stored position.

        That is the position of the last event if the batch was applied, now or before. Otherwise
        nothing was applied: the generation was not at ``after`` or is paused, or, for None, takes
        no events. Raises EventsNotApplicableError, and then nothing was applied, unless ``park``:
        it parks the streams of those events and applies the others.
        """
        try:
            epoch = self._epoch or self._read_epoch()
            prior = self._read_prior_state(batch, epoch.parked)
        except ResponseError as error:
            if of_another_type(error) and self.checkpoint() is None:
                return None
            raise
        changes = fold_batch(batch, prior, epoch.parked)
        if changes.refused and not park:
            # If another writer overtook this one, the rows are later than the batch.
            if (position := self.checkpoint()) != after:
                return position
            self._epoch = None
            raise EventsNotApplicableError(changes.refused)
        last = batch[-1]
        args = [
            *(after, last.position, event_time(last), event_name(last)),
            *(changes.applied, epoch.number, self.row_format, changes.records),
            *arguments(self.keys, [*changes.writes, *increments(changes.days)]),
        ]
        position = int(_APPLY_BATCH.run(self.redis, self.keys.all, args))
        if position == last.position:
            self._users |= changes.users
        if position != last.position or changes.refused:
            # If another writer applied the batch, it may not have parked what this one would have.
            self._epoch = None
        self._position = position
        return None if position < 0 else position

    def seek(self, position: int) -> None:
        """Continue at the stored position."""
        if position != self._position:
            self._position = position
            self._epoch = None  # another writer applied events, and may have parked streams

    def _read_prior_state(self, batch: Sequence[RecordedEvent], parked: set[str]) -> PriorState:
        """Fetch the state that a batch builds on, in one round trip if it changes known movies."""
        if len(self._users) > _CACHED_USERS:
            self._users.clear()
        required = required_state(batch, parked)
        users = [key for key in required.users if key not in self._users]
        rows, deleted, names = self._read_hashes(
            (self.keys.rows, required.rows),
            (self.keys.deleted, required.deleted),
            (self.keys.users, users),
        )
        self._users |= {key: name.decode() for key, name in names.items()}
        return PriorState(rows, deleted, self._users)

    def _read_hashes(self, *required: tuple[str, list[str]]) -> list[dict[str, bytes]]:
        """Return the existing fields of each hash."""
        pipeline = self.redis.pipeline(transaction=False)
        for key, ids in required:
            if ids:
                pipeline.execute_command("HMGET", key, *ids)
        answers = iter(pipeline.execute())
        return [
            {i: value for i, value in zip(ids, next(answers), strict=True) if value is not None}
            if ids
            else {}
            for _, ids in required
        ]

    def _read_epoch(self) -> _Epoch:
        # Before the rows: a repair after this begins another epoch, and parking moves the position;
        # either way this batch does not apply.
        number = number_field(self.redis.execute_command("HGET", self.keys.state, "mends"))
        ids = self.redis.execute_command("HKEYS", self.keys.parked)
        # Without a number the generation is damaged, which applying the batch finds.
        self._epoch = _Epoch(number or 0, {key.decode(errors="replace") for key in ids})
        return self._epoch
