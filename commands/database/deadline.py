"""Deadlines: by when the work of a thread must be done, however many calls it takes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_of_thread = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what this thread does in here ``seconds`` at most; an earlier deadline stands."""
    outer: float | None = getattr(_of_thread, "ends", None)
    ends = time.monotonic() + seconds
    _of_thread.ends = ends if outer is None else min(outer, ends)
    try:
        yield
    finally:
        _of_thread.ends = outer


def left_s(at_most_s: float) -> float:
    """Return how long a single call may take: ``at_most_s``, or what the deadline leaves."""
    ends: float | None = getattr(_of_thread, "ends", None)
    return at_most_s if ends is None else max(0.0, min(at_most_s, ends - time.monotonic()))
