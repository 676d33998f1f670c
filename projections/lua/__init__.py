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
_CONSTANT = re.compile(r"\bconstants\.(\w+)")


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
    """Load a file by its dotted path; Lua refers to ``constants`` as ``constants.NAME``."""
    return Script(assemble(read_lua(name), constants), shareable)


def assemble(text: str, constants: Mapping[str, str | int] | None = None) -> str:
    """Return one text from Lua and the files that it requires.

    Each file is run once, at the top, and its result is a local variable. That and literals instead
    of a table of constants save a call two microseconds of Redis's time. Raises KeyError for a
    constant that is missing.
    """
    modules: dict[str, str] = {}
    _collect(text, modules)
    variables = {name: name.replace(".", "_") for name in modules}
    parts = [
        f"local {variables[name]} = (function()\n{module}end)()" for name, module in modules.items()
    ]
    assembled = _REQUIRE.sub(lambda match: variables[match[1]], "\n".join([*parts, text]))
    return _CONSTANT.sub(lambda match: repr((constants or {})[match[1]]), assembled)


def read_lua(name: str) -> str:
    """Return the text of a file."""
    package, *path = name.split(".")
    return files(package).joinpath("/".join(path) + ".lua").read_text(encoding="utf-8")


def _collect(text: str, modules: dict[str, str]) -> None:
    """Add the files that a text requires to ``modules``, each after those that it requires."""
    for name in _REQUIRE.findall(text):
        if name not in modules:
            module = read_lua(name)
            _collect(module, modules)
            modules[name] = module


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
