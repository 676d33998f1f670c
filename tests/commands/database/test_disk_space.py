"""Disk space: which errors mean that there is none."""

import errno
import os
import sqlite3

import psycopg
import pytest

from commands.database.disk_space import check_disk_space, is_disk_full


def sqlite(code):
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


def caused_by(error):
    outer = ValueError("outer")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(code, "x") for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)),
        sqlite(sqlite3.SQLITE_FULL),
        sqlite(sqlite3.SQLITE_READONLY),
        sqlite(sqlite3.SQLITE_READONLY_DBMOVED),
        sqlite(sqlite3.SQLITE_IOERR_WRITE),
        sqlite(sqlite3.SQLITE_IOERR_SHMSIZE),
        psycopg.errors.DiskFull("x"),
        caused_by(caused_by(OSError(errno.ENOSPC, "x"))),
    ],
    ids=repr,
)
def test_a_write_without_room_is_recognized(error):
    assert is_disk_full(error) is True


@pytest.mark.parametrize(
    "error",
    [
        None,
        OSError(errno.EACCES, "x"),
        sqlite3.OperationalError("x"),
        sqlite(sqlite3.SQLITE_BUSY),
        sqlite(sqlite3.SQLITE_IOERR_READ),
        psycopg.errors.OutOfMemory("x"),
        caused_by(ValueError("x")),
    ],
    ids=repr,
)
def test_another_error_is_not(error):
    assert is_disk_full(error) is False


def test_a_folder_with_room_is_left_as_it_was(tmp_path):
    check_disk_space(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_room_is_asked_for_in_the_folder_itself(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_disk_space(tmp_path / "none")


def test_a_quarter_of_a_mebibyte_is_asked_for(tmp_path, monkeypatch):
    """Not of a mapped page: room for the next append."""
    asked = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, *span: asked.append(span), raising=False)
    check_disk_space(tmp_path)
    assert asked == [(0, 256 * 1024)]


def test_where_files_cannot_be_allocated_they_are_written(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    check_disk_space(tmp_path)
    resource = pytest.importorskip("resource", reason="a module of POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            check_disk_space(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
