"""Disk space: whether a folder takes a file, and which errors mean that it does not."""

import errno
import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryFile

import psycopg

_PROBE_BYTES = 256 * 1024
_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# The extended code of an I/O error names the failed operation; these are writes.
_SQLITE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
}


def check_disk_space(folder: Path) -> None:
    """Raise OSError if the file system of ``folder`` does not take a small file.

    The file is allocated, so a quota, a read-only file system and a broken disk are noticed, too.
    """
    with TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, _PROBE_BYTES)
        else:
            file.write(bytes(_PROBE_BYTES))
            file.flush()


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, means that a file could not be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        if isinstance(error, sqlite3.Error):
            code: int = getattr(error, "sqlite_errorcode", 0)
            if code in _SQLITE or code & 0xFF in _SQLITE:
                return True
        if isinstance(error, psycopg.errors.DiskFull):
            return True
        error = error.__cause__
    return False
