"""Child processes of our own: how to start them, and how they end with their parent.

``python -m projections.subprocesses PARENT PROGRAM WORD…`` becomes a program of others that does.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
_PR_SET_PDEATHSIG = 1


def command(module: str, *words: str) -> list[str]:
    """Return the command line that runs a module of ours from any current directory."""
    return [sys.executable, "-P", "-m", module, *words]


def environment() -> dict[str, str]:
    """Return the environment in which a child finds the modules that this process found."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{known}" if known else ROOT}


def die_with_parent(parent: int) -> bool:
    """Let the kernel kill this process when ``parent`` ends, even while it is stopped.

    Returns False on systems other than Linux, whose kernels cannot. On Linux, the "parent" is the
    thread that started this process (prctl(2)).
    """
    if sys.platform != "linux":
        return False
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)
    return True


def die_with_stdin() -> None:
    """Wait until the parent closes our standard input or ends, then end this process."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def main(parent: str, *argv: str) -> None:
    """Become the program ``argv``, which is killed when ``parent`` ends."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the parent may block what the program needs
    if not die_with_parent(int(parent)) and os.fork() == 0:
        _kill_orphan(os.getppid())
    os.execv(argv[0], argv)  # noqa: S606 - no shell


def _kill_orphan(program: int) -> None:
    while os.read(0, 4096):
        pass
    if os.getppid() == program:  # else it has ended, and another process may have its number
        os.kill(program, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
