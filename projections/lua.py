"""Lua that runs inside Redis: one script is one atomic step."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

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

NUMBER = """
local function number(text)
  if text == '0' then return 0 end
  if type(text) == 'string' and #text < 16 and string.find(text, '^[1-9]%d*$') then
    return tonumber(text)
  end
  return -1
end
"""
"""Lua: the number that a text is, written as we write it; -1 for what is none of ours."""

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,14}")


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


def number_field(value: bytes | None) -> int | None:
    """Return the number that a value is, as ``NUMBER`` does; None for what is none of ours."""
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None


def of_another_type(error: ResponseError) -> bool:
    """Tell whether a command was refused since its key is of another type than it should be."""
    return "WRONGTYPE" in str(error)  # at the beginning but for a pipeline's


def arguments(keys: Keys, commands: Iterable[tuple[str, str, Sequence[Any]]]) -> list[Any]:
    """Return commands (name, name of a key in ``Keys``, values) as ``RUN`` takes them."""
    numbers = {key: number_field for number_field, key in enumerate(keys.lasting, start=1)}
    args: list[Any] = []
    for name, key, values in commands:
        args += (name, numbers[getattr(keys, key)], len(values), *values)
    return args
