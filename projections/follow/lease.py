"""Who does what only one should do. Two projections at once are safe, only wasteful."""

import os
import secrets
import socket
import time
from typing import Any

from projections.keys import LEASE
from projections.lua import load_script

LEASE_MS = 5_000
_RENEWALS = 4  # how often a lease is renewed in its lifetime

_ACQUIRE = load_script("projections.lua.follow.acquire_lease")
_DELETE_IF_EQUAL = load_script("projections.lua.follow.delete_if_equal")


class Lease:
    """A lease on being the active projection, or on another part, for one holder."""

    def __init__(self, redis: Any, lease_ms: int = LEASE_MS, *, key: str = LEASE) -> None:
        self._redis = redis
        self._key = key
        self._lease_ms = lease_ms
        self._me = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._renew_at = 0.0

    def hold(self) -> bool:
        """Take or renew the lease where that is due; True while it is ours."""
        now = time.monotonic()
        if now < self._renew_at:
            return True
        self._renew_at = 0.0
        holder = self._take()
        if holder != self._me and _died_here(holder):
            holder = self._take(instead_of=holder)
        if holder != self._me:
            return False
        self._renew_at = now + self._lease_ms / 1000 / _RENEWALS
        return True

    def release(self) -> None:
        """Give the lease back, so that another need not wait for its end."""
        self._renew_at = 0.0
        _DELETE_IF_EQUAL.run(self._redis, [self._key], [self._me])

    def _take(self, instead_of: str = "") -> str:
        args = [self._me, instead_of, self._lease_ms]
        holder: bytes = _ACQUIRE.run(self._redis, [self._key], args)
        return holder.decode()


def _died_here(holder: str) -> bool:
    """Tell whether ``holder`` was a process of this machine that is no more.

    So a projection that is started again after a crash need not wait for the lease to run out.
    """
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # not ours to signal, or no process id at all
        return False
    return False
