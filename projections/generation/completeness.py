"""Completeness: a generation goes live only if it was built from all events of the log.

What reads a log that lost some, by damage or by a hand, would take what they tell out of the lists
without a word. So the events that were read are held against the counts of the database, and these
against what the live generation was built from.
"""

from typing import Any

from commands.errors import FewerEventsError
from commands.event_store.store import Store
from projections.generation import lifecycle
from projections.generation.state import LIVE, OTHER_FORMAT, is_of_log


def check_all_read(store: Store, until: int, read: int) -> None:
    """Raise StoreDamagedError unless ``read`` is how many events there are up to a position."""
    store.integrity.check_count(until, read)


def check_complete(store: Store, until: int) -> None:
    """Raise StoreDamagedError unless all events up to a position are found in log order."""
    store.integrity.check_complete(until)


def check_not_fewer(store: Store, redis: Any) -> None:
    """Raise FewerEventsError where the log has fewer events than the live generation applied.

    One that was built from another log, or that is not whole itself, tells nothing.
    """
    live = lifecycle.live_generation(redis)
    head = live.read_state() if live else None
    if head is None or head.state not in (LIVE, OTHER_FORMAT) or not is_of_log(store, head):
        return
    there = store.integrity.count(head.position)
    if there < head.events:
        raise FewerEventsError(there, head.events, head.position)
