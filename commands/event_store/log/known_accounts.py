"""The accounts that a process has found in the log, and those of them that were closed since.

An account is looked up once. That it was closed afterwards, by whichever process, is found by
``follow``: reading the few events of that type since the last call.
"""

import threading
from uuid import UUID

from commands.aggregates.user import User
from commands.event_store.log.event_log import EventLog

_MOST = 50_000
# Positions read in one go after a long outage.
_STEP = 100_000


class KnownAccounts:
    """Known and closed accounts, at most 50,000 of each; safe to share between threads."""

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._lock = threading.Lock()
        self._known: set[UUID] = set()
        self._closed: set[UUID] = set()
        self._followed: int | None = None
        self.revision = 0
        """Changes when accounts that are being looked up have to be looked up again."""

    def forget(self) -> None:
        """Forget all: the log is another one."""
        with self._lock:
            self._known.clear()
            self._closed.clear()
            self._followed = None
            self.revision += 1

    def knows(self, account_id: UUID) -> bool:
        """Return whether an account was found and is not known to be closed."""
        return account_id in self._known

    def has_closed(self, account_id: UUID) -> bool:
        """Return whether an account is known to be closed."""
        return account_id in self._closed

    def add(self, account_id: UUID, revision: int) -> None:
        """Remember an account that was found by a look-up that began at a ``revision``."""
        with self._lock:
            if account_id in self._closed or revision != self.revision:
                return
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known.add(account_id)

    def close(self, account_id: UUID) -> None:
        """Remember that an account is closed."""
        with self._lock:
            self._known.discard(account_id)
            if len(self._closed) >= _MOST:
                self._closed.clear()
            self._closed.add(account_id)

    def follow(self) -> None:
        """Find the accounts that were closed since the last call.

        Raises EventStoreUnavailableError.
        """
        head = self._event_log.head()
        with self._lock:
            if self._followed is None or self._followed > head:
                self._known.clear()  # looked up before anything was followed
                self._followed = head
                self.revision += 1
                return
            after = self._followed
        while after < head:
            until = min(head, after + _STEP)
            for event in self._event_log.read_types([User.AccountClosed.TOPIC], after, until):
                self.close(UUID(event.stream_id))
            after = until
        with self._lock:
            if self._followed is not None:
                self._followed = max(self._followed, head)
