"""Replacing a file durably: a reader, or a power cut, sees the old file or the whole new one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Yield a new file (mode 0600) that replaces ``path`` on success; on an error nothing changes.

    A link is followed: its target is replaced. Raises OSError, and FileExistsError if the file
    exists and ``overwrite`` is false.
    """
    path = path.resolve()
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            new.replace(path)
        else:
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
