"""Deadlines: a limit on all calls that a thread makes for one piece of work."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_of_thread = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit the work of this thread to ``seconds``; an earlier deadline stays in force."""
    outer: float | None = getattr(_of_thread, "ends", None)
    ends = time.monotonic() + seconds
    _of_thread.ends = ends if outer is None else min(outer, ends)
    try:
        yield
    finally:
        _of_thread.ends = outer


def left_s(at_most_s: float) -> float:
    """Return the time limit of a call: ``at_most_s``, or the time left until the deadline."""
    ends: float | None = getattr(_of_thread, "ends", None)
    return at_most_s if ends is None else max(0.0, min(at_most_s, ends - time.monotonic()))


def time_left_s(otherwise_s: float) -> float:
    """Return the time left until the deadline, ``otherwise_s`` without one."""
    ends: float | None = getattr(_of_thread, "ends", None)
    return otherwise_s if ends is None else max(0.0, ends - time.monotonic())
