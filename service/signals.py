"""Signals for loops that wait on descriptors."""

import os
import signal
from collections.abc import Callable


def wake_on_signals(asked_to_end: Callable[[int], object]) -> int:
    """Return a descriptor that is readable after a signal: one that asks to end, or a child's end.

    ``asked_to_end`` is called with the number of each SIGTERM, SIGINT and SIGHUP, but for those
    that the process was started to ignore.
    """
    awake, waker = os.pipe()
    os.set_blocking(awake, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: asked_to_end(number))
    return awake
