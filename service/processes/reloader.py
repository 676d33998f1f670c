"""Detects changes of source files, for ``cinelog serve --reload``."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

_FOLDERS = ("commands", "projections", "queries", "service")
_SUFFIXES = (".py", ".lua")
POLL_S = 0.5


class SourceWatcher:
    """Polls the modification times and sizes of all source files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = self._scan()
        self.next_deadline = time.monotonic() + POLL_S

    def changed(self, now: float) -> str | None:
        """Return a file that was added, changed or removed since the last poll, if any.

        Polls at most twice a second.
        """
        if now < self.next_deadline:
            return None
        self.next_deadline = now + POLL_S
        before, self._seen = self._seen, self._scan()
        if before == self._seen:
            return None
        paths = (path for path, _ in before.items() ^ self._seen.items())
        return str(Path(min(paths)).relative_to(self._root))

    def _scan(self) -> dict[str, tuple[int, int]]:
        return dict(self._stamps())

    def _stamps(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for name in _FOLDERS:
            for folder, _, files in os.walk(self._root / name):
                for file in files:
                    if not file.endswith(_SUFFIXES):
                        continue
                    path = os.path.join(folder, file)  # noqa: PTH118 - a path object takes longer
                    try:
                        stat = os.stat(path)  # noqa: PTH116
                    except OSError:  # removed since it was listed
                        continue
                    yield path, (stat.st_mtime_ns, stat.st_size)
