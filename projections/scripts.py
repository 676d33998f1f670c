"""Lua that runs inside Redis: one script is one atomic step."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoScriptError

from projections.keys import Keys

RUN = """
local function run(i)
  while i <= #ARGV do
    local name, key, last = ARGV[i], KEYS[tonumber(ARGV[i + 1])], i + 2 + tonumber(ARGV[i + 2])
    i = i + 3
    -- Lua unpacks at most some 8,000 values at once: long commands are cut, always between pairs.
    while i <= last do
      local stop = math.min(i + 4999, last)
      redis.call(name, key, unpack(ARGV, i, stop))
      i = stop + 1
    end
  end
end
"""
"""Lua: run the commands that ``ARGV`` has from a place on. ``KEYS`` are ``Keys.lasting``."""


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


def arguments(keys: Keys, commands: Iterable[tuple[str, str, Sequence[Any]]]) -> list[Any]:
    """Return commands (name, name of a key in ``Keys``, values) as ``RUN`` takes them."""
    numbers = {key: number for number, key in enumerate(keys.lasting, start=1)}
    args: list[Any] = []
    for name, key, values in commands:
        args += (name, numbers[getattr(keys, key)], len(values), *values)
    return args
