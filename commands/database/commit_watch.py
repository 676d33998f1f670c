"""Commit watch: tells whether a commit of this process hangs.

A commit can wait for a disk or for a synchronous standby without a limit, and nothing else of this
process can be committed meanwhile.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from commands.errors import EventStoreUnavailableError

HANGS_S = 2.0
"""A commit that takes longer hangs."""


class CommitWatch:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._began: dict[int, float] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch a commit of this thread."""
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            yield
        finally:
            del self._began[thread]

    def check(self) -> None:
        """Raise EventStoreUnavailableError while a commit hangs."""
        began = min(self._began.copy().values(), default=None)
        if began is not None and time.monotonic() - began > HANGS_S:
            raise EventStoreUnavailableError("a commit hangs")
