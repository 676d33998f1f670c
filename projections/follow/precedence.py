"""Precedence: of the releases that run side by side, the one with the newest row format projects.

Each projection announces its format while it runs. One of an older format stands by as long as a
newer one is announced: else each would build its own generation over that of the other, for ever.
Once no newer one has been announced for ``NOTICE_MS`` (a downgrade), the older one goes on.
"""

import time
from typing import Any

from projections.keys import NEWEST_FORMAT
from projections.lua import load_script

NOTICE_MS = 30_000
# Seldom enough to cost nothing, often enough that a newer one is noticed soon.
_ASKED_S = 0.5

_ANNOUNCE = load_script("projections.lua.follow.announce_format")
_DELETE_IF_EQUAL = load_script("projections.lua.follow.delete_if_equal")


class Precedence:
    """What one projection knows of those of other releases."""

    def __init__(self, redis: Any, row_format: int, notice_ms: int = NOTICE_MS) -> None:
        self._redis = redis
        self._row_format = row_format
        self._notice_ms = notice_ms
        self._ask_at = 0.0
        self._first = False

    def first(self) -> bool:
        """Announce this projection; False while one of a newer format runs."""
        now = time.monotonic()
        if now >= self._ask_at:
            args = [self._row_format, self._notice_ms]
            newest = int(_ANNOUNCE.run(self._redis, [NEWEST_FORMAT], args))
            self._first = newest == self._row_format
            self._ask_at = now + _ASKED_S
        return self._first

    def withdraw(self) -> None:
        """Let older ones go on at once; others of this format announce themselves again."""
        self._ask_at = 0.0
        _DELETE_IF_EQUAL.run(self._redis, [NEWEST_FORMAT], [self._row_format])
