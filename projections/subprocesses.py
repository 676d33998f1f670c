"""Starts processes of our own: what runs a module, and the environment that it needs."""

import os
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[1])


def command(module: str, *words: str) -> list[str]:
    """Return what runs a module of ours, whatever lies in the current directory."""
    return [sys.executable, "-P", "-m", module, *words]


def environment() -> dict[str, str]:
    """Return the environment in which a child finds the modules that this process found."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{known}" if known else ROOT}


def die_with_stdin() -> None:
    """End this process when its standard input closes: with its parent, whatever it is at."""
    while os.read(0, 4096):
        pass
    os._exit(1)
