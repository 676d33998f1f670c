"""Lua scripts: each ``.lua`` file runs inside Redis as one atomic step.

A file begins with its contract: ``KEYS``, ``ARGV`` and what it returns. It may ``require`` other
files by their dotted path; ``load_script`` puts them into the one text that Redis is sent.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from projections.keys import Keys

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,14}")
_REQUIRE = re.compile(r'\brequire\("([\w.]+)"\)')


@dataclass(frozen=True)
class Script:
    """A script, called by its digest; the text is sent only to a server that does not have it.

    A server may forget scripts at any time (a restart, a failover, SCRIPT FLUSH).
    Equal concurrent calls of a ``shareable`` script may be answered with one run.
    """

    text: str
    shareable: bool = False
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names a script by its SHA-1; no secret depends on it.
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    def run(self, redis: Any, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run on a synchronous client, of one server or of a cluster."""
        try:
            return redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.execute_command("EVAL", self.text, len(keys), *keys, *args)


def load_script(
    name: str, constants: Mapping[str, str | int] | None = None, *, shareable: bool = False
) -> Script:
    """Load a file by its dotted path, with the files that it requires.

    Lua finds ``constants`` in a table of that name.
    """
    return Script(with_required(read_lua(name), constants), shareable)


def with_required(text: str, constants: Mapping[str, str | int] | None = None) -> str:
    """Return Lua with the files that it requires and the constants in front."""
    fields = ", ".join(f"{name} = {value!r}" for name, value in (constants or {}).items())
    parts: dict[str, str] = {}
    _collect(text, parts)
    modules = [f'loaded["{name}"] = (function()\n{part}end)()' for name, part in parts.items()]
    return "\n".join(
        [
            f"local constants = {{ {fields} }}",
            "local loaded = {}",
            "local function require(name) return loaded[name] end",
            *modules,
            text,
        ]
    )


def read_lua(name: str) -> str:
    """Return the text of a file."""
    package, *path = name.split(".")
    return files(package).joinpath("/".join(path) + ".lua").read_text(encoding="utf-8")


def _collect(text: str, parts: dict[str, str]) -> None:
    """Add the files that a text requires to ``parts``, each after those that it needs itself."""
    for name in _REQUIRE.findall(text):
        if name not in parts:
            part = read_lua(name)
            _collect(part, parts)
            parts[name] = part


def number_field(value: bytes | None) -> int | None:
    """Return a canonical non-negative integer, as ``number.lua`` does; None for anything else."""
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None


def of_another_type(error: ResponseError) -> bool:
    """Tell whether Redis refused a command because its key has another type."""
    return "WRONGTYPE" in str(error)  # at the beginning but for a pipeline's


def arguments(keys: Keys, commands: Iterable[tuple[str, str, Sequence[Any]]]) -> list[Any]:
    """Encode commands (name, name of a key in ``Keys``, values) for ``writes.lua``."""
    numbers = {key: number for number, key in enumerate(keys.lasting, start=1)}
    args: list[Any] = []
    for name, key, values in commands:
        args += (name, numbers[keys.named(key)], len(values), *values)
    return args
