"""One generation of the read model: a batch of events and its position become visible in one step.

1. A batch is applied only where the stored position is the one it was read from. So each event
   counts once, whoever applies it, however often it is tried.
2. A generation that is not whole, of another row format, or neither being built nor live takes no
   events.
3. Nor does one that is held, for as long as it is; and what was read before a change from aside
   (``mend.py``) counts no more after it.
4. Whoever changes the live generation publishes its position in the same step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from commands.event_store.event_codec import RecordedEvent
from projections.generation.state import CONSTANTS, ROW_FORMAT, Generation, name_of, time_of
from projections.lua import arguments, load_script, number_field, of_another_type
from projections.movie_rows import PriorState, fold_batch, required_state

# Usernames of the accounts that wrote last. They never change, so they may be kept.
_KNOWN_USERS = 50_000

_APPLY_BATCH = load_script("projections.lua.generation.apply_batch", CONSTANTS)


class _Known(NamedTuple):
    """What a view knows as of some change from aside."""

    mends: int
    parked: set[str]


class EventsNotApplicableError(Exception):
    """Events that cannot be applied. ``refused`` is that of ``Changes``."""

    def __init__(self, refused: dict[str, dict[str, Any]]) -> None:
        super().__init__(
            f"{len(refused)} streams cannot be applied: {next(iter(refused.values()))}"
        )
        self.refused = refused


class GenerationWriter(Generation):
    """Applies events to one generation. For one thread; several views of a generation may race."""

    def __init__(self, redis: Any, number: int, row_format: int = ROW_FORMAT) -> None:
        super().__init__(redis, number, row_format)
        self._users: dict[str, str] = {}
        self._known: _Known | None = None
        self._position = -1

    def checkpoint(self) -> int | None:
        """Return the position that the next batch follows; None for one that takes no events."""
        position = super().checkpoint()
        if position is not None:
            self.stand_at(position)
        return position

    def apply(
        self, batch: Sequence[RecordedEvent], after: int, *, park: bool = False
    ) -> int | None:
        """Apply ``batch``, the events that follow position ``after``; return the stored position.

        That is the batch's last position when it was applied (now, or by someone else before), any
        other where this generation was not at ``after`` or is held, and None for one that is gone:
        in all these cases nothing was applied. Events that cannot be applied raise
        RefusedEventsError and nothing is applied, or, to ``park``, are put aside with all later
        ones of their stream.
        """
        try:
            known = self._known or self._read_known()
            before = self._read_before(batch, known.parked)
        except ResponseError as error:
            if of_another_type(error) and self.checkpoint() is None:
                return None
            raise
        changes = fold_batch(batch, before, known.parked)
        if changes.refused and not park:
            # Overtaken, the rows read are later than the batch: that is no fault of its events.
            if (position := self.checkpoint()) != after:
                return position
            self._known = None
            raise EventsNotApplicableError(changes.refused)
        last = batch[-1]
        args = [
            *(after, last.position, time_of(last), name_of(last)),
            *(changes.applied, known.mends, self.row_format),
            *arguments(self.keys, changes.writes),
        ]
        position = int(_APPLY_BATCH.run(self.redis, self.keys.lasting, args))
        if position == last.position:
            self._users |= changes.users
            known.parked.update(changes.refused)
        else:
            self._known = None
        self._position = position
        return None if position < 0 else position

    def stand_at(self, position: int) -> None:
        """Build on this position, which the head tells."""
        if position != self._position:
            self._position = position
            self._known = None  # someone else applied events, and may have parked some

    def _read_before(self, batch: Sequence[RecordedEvent], parked: set[str]) -> PriorState:
        """Fetch what the batch builds on, in one round trip; none for a batch of new movies."""
        if len(self._users) > _KNOWN_USERS:
            self._users.clear()
        rows, gone, users = required_state(batch, parked)
        users = [key for key in users if key not in self._users]
        lines, states, names = self._read(
            (self.keys.rows, rows), (self.keys.gone, gone), (self.keys.users, users)
        )
        self._users |= {key: name.decode() for key, name in names.items()}
        return PriorState(lines, states, self._users)

    def _read(self, *asked: tuple[str, list[str]]) -> list[dict[str, bytes]]:
        """Return the fields that are there of each hash."""
        pipeline = self.redis.pipeline(transaction=False)
        for key, ids in asked:
            if ids:
                pipeline.execute_command("HMGET", key, *ids)
        answers = iter(pipeline.execute())
        return [
            {i: value for i, value in zip(ids, next(answers), strict=True) if value is not None}
            if ids
            else {}
            for _, ids in asked
        ]

    def _read_known(self) -> _Known:
        # Read before the rows are: who changes one from aside meanwhile counts up the mends, who
        # parks moves the position, and either way this batch does not apply.
        mends = number_field(self.redis.execute_command("HGET", self.keys.head, "mends"))
        ids = self.redis.execute_command("HKEYS", self.keys.parked)
        # One without a number is damaged, which is found out when the batch is applied.
        self._known = _Known(mends or 0, {key.decode(errors="replace") for key in ids})
        return self._known
