"""The head of a generation: how far it is, in what format its rows are, and its state.

Whether a generation takes events is decided here and nowhere else: it must be being built or live,
whole, of this release's row format (``STATE``), and built from this log (``belongs``).
"""

from typing import Any, NamedTuple

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from projections.keys import POSITION, Keys
from projections.lua import load_script, number_field

ROW_FORMAT = 3
"""What rows and indexes look like. Count it up with each change of a line, a key or a score.

A generation keeps the format that it was built with; a head without a number is of format 1. A
projection that finds another format live, older or newer, builds its own beside it.
"""
REPLAYING = "filling"
"""It is being filled from aside, and takes no events yet."""
BUILDING = "building"
LIVE = "live"
"""It may be shown to readers."""
DAMAGED = "damaged"
"""Something of it is lost. Never stored: it is found out."""
OTHER_FORMAT = "other format"
"""It is whole, but another release laid out its rows. Never stored: it is found out.

Readers are still shown what it has until a generation of this release is live; it takes no events.
"""
RETIRED = "retired"
"""It takes no events any more, and is shown to nobody."""
PAUSE_MS = 2_000
"""For how long a generation is held at most."""
CONSTANTS: dict[str, str | int] = {
    "REPLAYING": REPLAYING,
    "BUILDING": BUILDING,
    "LIVE": LIVE,
    "DAMAGED": DAMAGED,
    "OTHER_FORMAT": OTHER_FORMAT,
    "PAUSE_MS": PAUSE_MS,
    "POSITION_CHANNEL": POSITION,
}
"""What scripts know from here."""
_NUMBERS = ("events", "mends", "rows", "gone", "users", "parked", "dropped")

_READ_STATE = load_script("projections.lua.generation.read_state", CONSTANTS)
_SET_FIELD = load_script("projections.lua.generation.set_field")


class GenerationState(NamedTuple):
    """What a head says."""

    position: int
    events: int
    at: str
    state: str
    last: str
    parked: int
    """Movies whose events cannot be applied, without those that were given up."""
    dropped: int
    format: int
    """Of its rows; 0 for what is no number."""
    log: str = ""
    """The identity of the log that it shows, "" if unknown."""

    @property
    def takes_events(self) -> bool:
        """Tell whether events can be applied."""
        return self.state in (BUILDING, LIVE)


class Generation:
    """One generation of the read model: its address in Redis, its state and its checkpoint."""

    def __init__(self, redis: Any, number: int, row_format: int = ROW_FORMAT) -> None:
        self.redis = redis
        self.number = number
        self.row_format = row_format
        self.keys = Keys(number)

    def create(self, state: str = BUILDING) -> None:
        """Create an empty generation unless it exists."""
        # The position comes last: a head that has one is complete.
        numbers = ((name, 0) for name in _NUMBERS)
        fields = [("state", state), ("format", self.row_format), *numbers, ("position", 0)]
        for name, value in fields:
            self.redis.execute_command("HSETNX", self.keys.head, name, value)

    def read_state(self) -> GenerationState | None:
        """Return the state, None for a generation that does not exist.

        A field that must be a number and is none counts as 0: such a generation is damaged.
        """
        found = _READ_STATE.run(self.redis, self.keys.lasting, [self.row_format])
        if found[0] is None:
            return None
        position, events, parked, dropped = (number_field(found[i]) or 0 for i in (0, 1, 5, 6))
        at, state, last = ((one or b"").decode(errors="replace") for one in found[2:5])
        stored_as = 1 if found[7] is None else number_field(found[7]) or 0
        log = (found[8] or b"").decode(errors="replace")
        parked = max(0, parked - dropped)
        return GenerationState(position, events, at, state, last, parked, dropped, stored_as, log)

    def checkpoint(self) -> int | None:
        """Return the position that the next batch follows; None for one that takes no events."""
        state = self.read_state()
        return state.position if state and state.takes_events else None

    def set_log(self, log: str) -> None:
        """Store the identity of the log that this generation shows, if that is known."""
        if log:
            _SET_FIELD.run(self.redis, [self.keys.head], ["log", log])

    def retire(self) -> None:
        """Show this generation to no reader and apply no more events to it."""
        _SET_FIELD.run(self.redis, [self.keys.head], ["state", RETIRED])


def name_of(event: RecordedEvent) -> str:
    """Return what an event is known by: no two logs have the same one at the same position.

    Its time tells it from the one that takes its place after the log was set back.
    """
    return f"{event.stream_id}:{event.version}:{time_of(event)}"


def time_of(event: RecordedEvent) -> str:
    """Return when an event happened, "" where it does not say so."""
    time = event.data.get("timestamp")
    return time if type(time) is str else ""


def name_at(store: Store, position: int) -> str:
    """Return the name of the event at a position, "" where the log has none there."""
    found = store.read(position - 1, 1, position) if position else []
    return name_of(found[0]) if found else ""


def is_of_log(store: Store, head: GenerationState) -> bool:
    """Tell whether a generation was built from this log, as far as the log still goes.

    The event that was applied last must be there: a log that was replaced, or restored to an
    earlier state, has another at its position, or none.
    """
    return name_at(store, head.position) == head.last
