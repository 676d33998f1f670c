"""Load: the recording clients of ``tests/consistency``, on a thread beside the faults."""

import asyncio
import threading
import time
from itertools import takewhile

from tests.consistency.clients import Load as Clients
from tests.consistency.clients import read_log, read_rows
from tests.consistency.history import LIST, WRITES, History

CLIENTS, PAUSE_S = 8, 0.03
LISTS = {LIST}
_OVERLAP_NS = 15_000_000_000
"""Longer than any request: an operation that began later may stand before one that began earlier."""


class Load:
    """Clients of several nodes; use it as a context manager."""

    def __init__(self, urls, seed):
        self._urls = urls
        self._clients = Clients(urls, seed, clients=CLIENTS, pause_s=PAUSE_S)
        self._over = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self.wait_for(WRITES, time.monotonic(), 30) is not None, "no write succeeds"
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def operations(self):
        return self._clients.operations

    def end(self):
        """Stop, once every client has its last answer."""
        self._over.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "a client does not end"
        if self._error:
            raise self._error

    def history(self):
        """Return what was recorded, and the log and the list as they are now."""
        return asyncio.run(self._history())

    def wait_for(self, kinds, after, timeout_s, *, shown=False):
        """Return the seconds from ``after`` to the first success of a call sent since, else None.

        ``shown``: only writes that the read model showed when they were answered.
        """
        after_ns = int(after * 1e9)
        while (ended := self._first(kinds, after_ns, shown=shown)) is None:
            if time.monotonic() - after > timeout_s:
                return None
            time.sleep(0.02)
        return (ended - after_ns) / 1e9

    def _first(self, kinds, after_ns, *, shown):
        recent = takewhile(
            lambda one: one.began > after_ns - _OVERLAP_NS, reversed(self.operations[-20_000:])
        )
        ends = [
            one.ended
            for one in recent
            if one.began >= after_ns
            and one.kind in kinds
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
