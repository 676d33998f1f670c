"""Pauses the projection of a generation for a moment, at a known position.

Readers do not notice. A pause ends by itself, so a process that dies during one blocks nothing.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from commands.errors import ReadModelUnavailableError
from projections.generation.state import CONSTANTS, PAUSE_MS, Generation
from projections.lua import load_script

SWITCH_MARGIN_MS = 500
"""Time that may pass between Redis's check of the pause and a switch to another generation."""
_TIMEOUT_S, _RETRY_S = 10.0, 0.02
_PAUSE = load_script("projections.lua.generation.pause", CONSTANTS)
_RESUME = load_script("projections.lua.generation.resume")


class Pause(NamedTuple):
    """No event is applied beyond ``position`` before ``until_ms`` of Redis's clock."""

    position: int
    until_ms: int


@contextmanager
def pause(generation: Generation, for_ms: int = PAUSE_MS) -> Iterator[Pause]:
    """Pause the projection of a generation.

    Raises ReadModelUnavailableError if the generation is deleted, stays paused by another command
    for 10 s, or has rows of another format, which this release must not change.
    """
    paused = _begin(generation, for_ms)
    try:
        yield paused
    finally:
        _RESUME.run(generation.redis, [generation.keys.state], [paused.until_ms])


def _begin(generation: Generation, for_ms: int) -> Pause:
    deadline = time.monotonic() + _TIMEOUT_S
    args = [for_ms, generation.row_format]
    while time.monotonic() < deadline:
        answer = _PAUSE.run(generation.redis, [generation.keys.state], args)
        if not answer:
            raise ReadModelUnavailableError("the generation is gone")
        if answer[1] < 0:
            raise ReadModelUnavailableError("its rows have the format of another release")
        if answer[1]:
            return Pause(*answer)
        time.sleep(_RETRY_S)
    raise ReadModelUnavailableError("another command is changing it")
