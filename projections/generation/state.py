"""The state of a generation, which decides whether it is usable.

``Generation.read_state`` is the one place that decides: a generation must be complete, of this row
format and built from this log. The scripts decide the same in ``projections/lua/state.lua``.
"""

from typing import Any, NamedTuple

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.log_reader import LogReader
from projections.keys import POSITION, Keys
from projections.lua import load_script, number_field

ROW_FORMAT = 4
"""The format of rows. Increment it with each change of a row or a key.

A generation keeps the format that it was built with; a state without a format means 1. A projection
that finds another format live, older or newer, builds its own generation beside it.
"""
REPLAYING = "filling"
"""A replay is writing it; it takes no events yet."""
BUILDING = "building"
"""It takes events but is not shown."""
LIVE = "live"
"""It takes events and may be shown to readers."""
RETIRED = "retired"
"""It takes no events any more and is not shown."""
# States that are never stored: reading the state finds them.
DAMAGED = "damaged"
"""Some of its entries are lost."""
OTHER_FORMAT = "other format"
"""Its rows have the format of another release.

Readers are shown it until a generation of this release is live; it takes no events.
"""
OTHER_LOG = "other log"
"""It was built from another log: its last applied event is not in the current log.

The log was replaced, or restored to an earlier state.
"""
PAUSE_MS = 2_000
"""The longest pause of a generation."""
CONSTANTS: dict[str, str | int] = {
    "REPLAYING": REPLAYING,
    "BUILDING": BUILDING,
    "LIVE": LIVE,
    "DAMAGED": DAMAGED,
    "OTHER_FORMAT": OTHER_FORMAT,
    "PAUSE_MS": PAUSE_MS,
    "POSITION_CHANNEL": POSITION,
}
"""The constants of scripts that use ``state.lua``."""
_NUMBERS = ("events", "mends", "rows", "gone", "users", "parked", "dropped", "days")
_READ_STATE = load_script("projections.lua.generation.read_state", CONSTANTS)
_SET_FIELD = load_script("projections.lua.generation.set_field")


class GenerationState(NamedTuple):
    """The state of a generation; ``position`` is its checkpoint."""

    position: int
    events: int
    at: str
    state: str
    last: str
    parked: int
    """Parked streams, without the discarded."""
    dropped: int
    """Movies that an operator discarded."""
    format: int
    """The row format; 0 if it is not a number."""
    log: str = ""
    """The identity of the log, "" if unknown."""

    @property
    def takes_events(self) -> bool:
        """Tell whether events can be applied."""
        return self.state in (BUILDING, LIVE)


class Generation:
    """One build of the read model: its address in Redis, its state and its checkpoint."""

    def __init__(self, redis: Any, number: int, row_format: int = ROW_FORMAT) -> None:
        self.redis = redis
        self.number = number
        self.row_format = row_format
        self.keys = Keys(number)

    def create(self, state: str = BUILDING) -> None:
        """Create an empty generation unless it exists."""
        # The position comes last: a state that has one is complete.
        fields = {"state": state, "format": self.row_format, **dict.fromkeys(_NUMBERS, 0)}
        for name, value in (fields | {"position": 0}).items():
            self.redis.execute_command("HSETNX", self.keys.state, name, value)

    def read_state(self, store: LogReader | None = None) -> GenerationState | None:
        """Return the state, None if the generation does not exist.

        Only with a ``store`` can the state be OTHER_LOG. A number that cannot be read is returned
        as 0; the generation is damaged.
        """
        found = _READ_STATE.run(self.redis, self.keys.lasting, [self.row_format])
        if found[0] is None:
            return None
        position, events, parked, dropped = (number_field(found[i]) or 0 for i in (0, 1, 5, 6))
        at, state, last, log = ((found[i] or b"").decode(errors="replace") for i in (2, 3, 4, 8))
        row_format = 1 if found[7] is None else number_field(found[7]) or 0
        if store and state not in (REPLAYING, RETIRED) and event_name_at(store, position) != last:
            state = OTHER_LOG
        parked = max(0, parked - dropped)
        return GenerationState(position, events, at, state, last, parked, dropped, row_format, log)

    def checkpoint(self) -> int | None:
        """Return the position that the next batch follows; None if no events can be applied."""
        state = self.read_state()
        return state.position if state and state.takes_events else None

    def set_log(self, log: str) -> None:
        """Store the identity of the log that this generation is built from, if it is known."""
        if log:
            _SET_FIELD.run(self.redis, [self.keys.state], ["log", log])

    def retire(self) -> None:
        """Show this generation to no reader and apply no more events to it."""
        _SET_FIELD.run(self.redis, [self.keys.state], ["state", RETIRED])


def event_name(event: RecordedEvent) -> str:
    """Return a name that tells an event from the one at the same position of another log.

    It contains the time, which differs if the log was set back and another event took the place.
    """
    return f"{event.stream_id}:{event.version}:{event_time(event)}"


def event_time(event: RecordedEvent) -> str:
    """Return the time of an event, "" if it has none."""
    time = event.data.get("timestamp")
    return time if type(time) is str else ""


def event_name_at(store: LogReader, position: int) -> str:
    """Return the name of the event at a position, "" if the log has none there."""
    events = store.read(position - 1, 1, position) if position else []
    return event_name(events[0]) if events else ""
