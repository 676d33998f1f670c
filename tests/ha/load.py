"""Load: the recording clients of ``tests/consistency``, on a thread beside the faults."""

import asyncio
import threading
import time
from itertools import takewhile

import httpx

from tests.consistency.clients import Load as Clients
from tests.consistency.clients import read_log, read_rows
from tests.consistency.history import WRITES, History

CLIENTS, PAUSE_S = 8, 0.03
_OVERLAP_NS = 15_000_000_000
"""Longer than any request: an operation that began later may stand before one that began earlier."""


class Reader(threading.Thread):
    """Asks for the list at each node in turn: the recording clients soon all wait for writes."""

    def __init__(self, urls, account):
        super().__init__(name="reader", daemon=True)
        self._urls, self._account = urls, account
        self.over = threading.Event()
        self.answered = []
        """When lists were asked for that were answered with 200, and when they were."""

    def run(self):
        number = 0
        with httpx.Client(timeout=5.0) as client:
            while not self.over.wait(PAUSE_S):
                url = f"{self._urls[number % len(self._urls)]}/api/v1/movies/"
                headers = {"Authorization": f"Bearer {self._account.token}"}
                asked = time.monotonic()
                try:
                    is_success = client.get(url, headers=headers).is_success
                except httpx.TransportError:
                    is_success = False
                if is_success:
                    self.answered.append((asked, time.monotonic()))
                else:
                    number += 1

    def first(self, after):
        """Return when the first list was answered that was asked for since; None if none was."""
        recent = takewhile(lambda one: one[0] >= after, reversed(self.answered))
        return min((answered for _, answered in recent), default=None)


class Load:
    """Clients of several nodes; use it as a context manager."""

    def __init__(self, urls, seed):
        self._urls = urls
        self._clients = Clients(urls, seed, clients=CLIENTS, pause_s=PAUSE_S)
        self._over = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._reader = Reader(urls, self._clients.account)

    def __enter__(self):
        self._thread.start()
        assert self.wait_for_write(time.monotonic(), 30) is not None, "no write succeeds"
        self._reader.start()
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def operations(self):
        return self._clients.operations

    def end(self):
        """Stop, once every client has its last answer."""
        self._over.set()
        self._reader.over.set()
        self._reader.join(10)
        self._thread.join(120)
        assert not self._thread.is_alive(), "a client does not end"
        if self._error:
            raise self._error

    def history(self):
        """Return what was recorded, and the log and the list as they are now."""
        return asyncio.run(self._history())

    def wait_for_write(self, after, timeout_s, *, shown=False):
        """Return the seconds from ``after`` to the first success of a write sent since, else None.

        ``shown``: only writes that the read model showed when they were answered.
        """
        return _wait_for(lambda: self._first_write(after, shown=shown), after, timeout_s)

    def wait_for_list(self, after, timeout_s):
        """Return the seconds from ``after`` to the first list asked for since, else None."""
        return _wait_for(lambda: self._reader.first(after), after, timeout_s)

    def _first_write(self, after, *, shown):
        after_ns = int(after * 1e9)
        recent = takewhile(
            lambda one: one.began > after_ns - _OVERLAP_NS, reversed(self.operations[-20_000:])
        )
        ends = [
            one.ended / 1e9
            for one in recent
            if one.began >= after_ns
            and one.kind in WRITES
            and one.ended
            and one.acknowledged
            and not (shown and one.behind)
        ]
        return min(ends, default=None)

    def _run(self):
        try:
            asyncio.run(self._send())
        except Exception as error:  # noqa: BLE001 - raised by end()
            self._error = error

    async def _send(self):
        async with self._clients:
            while not self._over.is_set():
                self._clients.check_alive()
                await asyncio.sleep(0.05)

    async def _history(self):
        account = self._clients.account
        log = await read_log(self._urls[0], account)
        position = max((one.position for one in log), default=0)
        return History(self.operations, log, await read_rows(self._urls[0], account, position))


def _wait_for(first, after, timeout_s):
    while (found := first()) is None:
        if time.monotonic() - after > timeout_s:
            return None
        time.sleep(0.02)
    return found - after
