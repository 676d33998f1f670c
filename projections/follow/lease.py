"""A lease in Redis: at most one holder at a time.

Two active projections do no harm; they only waste work.
"""

import os
import secrets
import socket
import time
from typing import Any

from projections.keys import LEASE
from projections.lua import load_script

LEASE_MS = 5_000
_RENEWALS = 4  # in the lifetime of a lease
_ACQUIRE_LEASE = load_script("projections.lua.follow.acquire_lease")
_DELETE_IF_EQUAL = load_script("projections.lua.follow.delete_if_equal")


class Lease:
    """A lease on being the active projection, or on the task named by ``key``.

    The holder is this object, or all that give the same ``holder``.
    """

    def __init__(
        self, redis: Any, lease_ms: int = LEASE_MS, *, key: str = LEASE, holder: str = ""
    ) -> None:
        self._redis = redis
        self._key = key
        self._lease_ms = lease_ms
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._renew_at = 0.0

    def acquire_or_renew(self) -> bool:
        """Acquire or renew the lease if that is due; return whether it is held."""
        now = time.monotonic()
        if now < self._renew_at:
            return True
        self._renew_at = 0.0
        holder = self._acquire()
        if holder != self._holder and _died_here(holder):
            holder = self._acquire(instead_of=holder)
        if holder != self._holder:
            return False
        self._renew_at = now + self._lease_ms / 1000 / _RENEWALS
        return True

    def release(self) -> None:
        """Release the lease, so that another holder need not wait until it expires."""
        self._renew_at = 0.0
        _DELETE_IF_EQUAL.run(self._redis, [self._key], [self._holder])

    def _acquire(self, instead_of: str = "") -> str:
        """Return the holder after an attempt."""
        args = [self._holder, instead_of, self._lease_ms]
        holder: bytes = _ACQUIRE_LEASE.run(self._redis, [self._key], args)
        return holder.decode()


def _died_here(holder: str) -> bool:
    """Tell whether ``holder`` was a process of this machine that has ended.

    A projection that is restarted after a crash then need not wait until the lease expires.
    """
    host, _, pid = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or no process id
        return False
    return False
