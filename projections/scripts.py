"""Lua that runs inside Redis: one script is one atomic step."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoScriptError


@dataclass(frozen=True)
class Script:
    """A script, called by its digest; the text travels only where the server does not have it.

    A server may forget scripts at any time (a restart, a failover, SCRIPT FLUSH).
    ``shareable`` scripts may answer several equal calls at once with one run.
    """

    text: str
    shareable: bool = False
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names a script by its SHA-1; nothing secret hangs on it.
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    def run(self, redis: Any, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run on a synchronous client, of one server or of a cluster."""
        try:
            return redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.execute_command("EVAL", self.text, len(keys), *keys, *args)
