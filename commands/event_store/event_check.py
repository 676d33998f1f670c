"""Whether each event of a log is one that this release reads, and no stream lacks one."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from commands.errors import StoreDamagedError
from commands.event_store.salvage import LostEvents, head_of, read_around
from commands.event_store.store import Store


class EventProblem(NamedTuple):
    """What is wrong with the events from one position to another, which may be the same."""

    first: int
    last: int
    problem: str


def check_events(store: Store, advance: Callable[[int, int], None]) -> Iterator[EventProblem]:
    """Yield what is wrong, in log order; ``advance`` is told positions, and the last one."""
    until = head_of(store)
    if until is None:
        yield EventProblem(0, 0, "the end of the log cannot be read")
        return
    for part in read_around(store, until):
        if isinstance(part, LostEvents):
            yield EventProblem(part.first, part.last, "cannot be read")
            continue
        for event in part:
            if problem := store.decoding_problem(event):
                yield EventProblem(event.position, event.position, problem)
        advance(part[-1].position, until)
    try:
        torn = store.torn_streams()
    except StoreDamagedError as error:
        yield EventProblem(0, 0, f"streams cannot be counted: {error.reason}")
        return
    for stream, position in torn:
        yield EventProblem(
            position, position, f"its stream {stream} lacks an event before or after it"
        )
