"""The floor of a read model: the lowest generation that may be live.

A Redis that fails over to an older state may name a generation that another one had replaced. The
event store remembers the last one that was live. It knows read models by an identity that Redis
keeps, because several may follow one log, and a wiped Redis begins a new one.
"""

import time
from typing import Any
from uuid import uuid4

import structlog
from redis.exceptions import ResponseError

from commands.errors import EventStoreUnavailableError
from commands.event_store.store import Store
from projections.keys import READ_MODEL
from projections.lua import of_another_type

_RETRY_S, _LOOK_S = 1.0, 1.0
log = structlog.get_logger(__name__)


class Floor:
    """The floor of the read model in one Redis."""

    def __init__(self, store: Store, redis: Any) -> None:
        self._store = store
        self._redis = redis
        self._read_model = ""
        self._noted = 0
        self._retry_at = 0.0
        self._lowest = 0
        self._read_at = 0.0

    def lowest(self) -> int:
        """Return the lowest generation that may be live, 0 if none was yet."""
        read_model = _identity(self._redis)
        if read_model != self._read_model:
            self._read_model, self._noted = read_model, 0
        self._lowest, self._read_at = self._store.floor(read_model), time.monotonic()
        return self._lowest

    def is_above(self, number: int) -> bool:
        """Return whether a generation may not be live, as known a second ago or later."""
        if time.monotonic() - self._read_at > _LOOK_S:
            self.lowest()
        return number < self._lowest

    def note(self, number: int) -> None:
        """Raise the floor to a generation that is live. A failure is logged and made up for later.

        Requires a call of ``lowest`` before.
        """
        if number == self._noted or time.monotonic() < self._retry_at:
            return
        try:
            self._store.raise_floor(self._read_model, number)
        except EventStoreUnavailableError as error:
            self._retry_at = time.monotonic() + _RETRY_S
            log.warning("the floor is not stored", generation=number, error=str(error))
        else:
            self._noted = number


def _identity(redis: Any) -> str:
    """Return the identity of the read model; one without gets a new one."""
    try:
        return _get_or_set(redis)
    except ResponseError as error:
        if not of_another_type(error):
            raise
        redis.execute_command("DEL", READ_MODEL)
        return _get_or_set(redis)


def _get_or_set(redis: Any) -> str:
    redis.execute_command("SET", READ_MODEL, str(uuid4()), "NX")
    found: bytes = redis.execute_command("GET", READ_MODEL) or b""
    return found.decode(errors="replace")
