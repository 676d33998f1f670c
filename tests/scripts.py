"""Calls Lua scripts directly, each on a real Valkey."""

from projections.generation.state import CONSTANTS
from projections.lua import Script, assemble, load_script


def call(redis, name, keys, *args, constants=CONSTANTS):
    """Return what a script answers."""
    return load_script(name, constants).run(redis, keys, args)


def evaluate(redis, lua, keys=(), *args):
    """Return what a few lines of Lua answer, which may require other files."""
    return Script(assemble(lua, CONSTANTS)).run(redis, keys, args)
