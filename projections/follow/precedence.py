"""Precedence: the running projection with the newest row format builds the read model.

Each projection announces its format while it runs. While a newer format is announced, one with an
older format only keeps a live generation of its own format up to date; once the newer one's is live
it stands by: otherwise releases that run side by side would replace each other's generation for
ever. ``NOTICE_MS`` after the last announcement (a downgrade) the older one continues.
"""

import time
from typing import Any

from projections.keys import NEWEST_FORMAT
from projections.lua import load_script

NOTICE_MS = 30_000
_ANNOUNCE_EVERY_S = 0.5
_ANNOUNCE_FORMAT = load_script("projections.lua.follow.announce_format")
_DELETE_IF_EQUAL = load_script("projections.lua.follow.delete_if_equal")


class Precedence:
    """The precedence of one projection among those of other releases."""

    def __init__(self, redis: Any, row_format: int, notice_ms: int = NOTICE_MS) -> None:
        self._redis = redis
        self._row_format = row_format
        self._notice_ms = notice_ms
        self._announce_at = 0.0
        self._is_first = False

    def is_first(self) -> bool:
        """Announce this projection; return False while one with a newer format runs."""
        now = time.monotonic()
        if now >= self._announce_at:
            args = [self._row_format, self._notice_ms]
            newest = int(_ANNOUNCE_FORMAT.run(self._redis, [NEWEST_FORMAT], args))
            self._is_first = newest == self._row_format
            self._announce_at = now + _ANNOUNCE_EVERY_S
        return self._is_first

    def may_build(self) -> bool:
        """Return what ``is_first`` does, and notice at once that a newer release has begun."""
        self._announce_at = 0.0
        return self.is_first()

    def withdraw(self) -> None:
        """Let older formats continue at once; others of this format announce themselves again."""
        self._announce_at = 0.0
        _DELETE_IF_EQUAL.run(self._redis, [NEWEST_FORMAT], [self._row_format])
