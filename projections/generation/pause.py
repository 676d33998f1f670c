"""Stops the projection of a generation for a moment, at a position that is known then.

Readers do not notice. A hold ends by itself, so that one whose holder died harms nobody for long.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from commands.errors import ReadModelUnavailableError
from projections.generation.state import CONSTANTS, PAUSE_MS
from projections.generation.writer import GenerationWriter
from projections.lua import load_script

_WAIT_S, _PAUSE_S = 10.0, 0.02

_PAUSE = load_script("projections.lua.generation.pause", CONSTANTS)
_RESUME = load_script("projections.lua.generation.resume")


class Pause(NamedTuple):
    """No event is applied beyond ``position`` before ``until_ms`` of Redis's clock."""

    position: int
    until_ms: int


@contextmanager
def pause(view: GenerationWriter, for_ms: int = PAUSE_MS) -> Iterator[Pause]:
    """Hold a generation. Raises ReadModelUnavailableError where it is gone, or held for long.

    One whose rows have the format of another release is not held: who holds it would change it.
    """
    held = _take(view, for_ms)
    try:
        yield held
    finally:
        _RESUME.run(view.redis, [view.keys.head], [held.until_ms])


def _take(view: GenerationWriter, for_ms: int) -> Pause:
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up:
        answer = _PAUSE.run(view.redis, [view.keys.head], [for_ms, view.row_format])
        if not answer:
            raise ReadModelUnavailableError("the generation is gone")
        if answer[1] < 0:
            raise ReadModelUnavailableError("its rows have the format of another release")
        if answer[1]:
            return Pause(*answer)
        time.sleep(_PAUSE_S)
    raise ReadModelUnavailableError("another command is changing it")
