"""Damage: which errors of a database report it, and how it is remembered."""

import json
import sqlite3
import stat
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from commands.database.damage import Damage, damage_in
from commands.errors import StoreDamagedError


def sqlite(code, text="secret"):
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = code
    return error


def caused_by(error):
    outer = ValueError("outer")
    outer.__cause__ = error
    return outer


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "events.db-damaged"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (sqlite(sqlite3.SQLITE_CORRUPT), "SQLite: database disk image is malformed"),
        (sqlite(sqlite3.SQLITE_CORRUPT_INDEX), "SQLite: database disk image is malformed"),
        (sqlite(sqlite3.SQLITE_NOTADB), "SQLite: file is not a database"),
        (
            sqlite3.OperationalError("Could not decode to UTF-8 column 'state' with text 'x'"),
            "SQLite: a text is no UTF-8",
        ),
        (psycopg.errors.DataCorrupted("secret"), "PostgreSQL: XX001"),
        (psycopg.errors.IndexCorrupted("secret"), "PostgreSQL: XX002"),
        (psycopg.errors.UndefinedFile("secret"), "PostgreSQL: 58P01"),
        (caused_by(caused_by(sqlite(sqlite3.SQLITE_NOTADB))), "SQLite: file is not a database"),
        (caused_by(psycopg.errors.DataCorrupted("secret")), "PostgreSQL: XX001"),
        (sqlite(sqlite3.SQLITE_BUSY), None),
        (sqlite3.OperationalError("no such table"), None),
        (psycopg.errors.DiskFull("secret"), None),
        (caused_by(OSError("secret")), None),
        (None, None),
    ],
)
def test_damage_is_what_a_database_reports_as_such(error, reason):
    """It is named without the stored data that an error may quote."""
    assert damage_in(error) == reason


def test_damage_in_a_store_with_a_marker_is_known_to_every_process(marker):
    here, there = Damage(marker), Damage(marker)
    assert here.reason is None
    here.check()
    here.report("page 3")
    assert there.reason == here.reason == "page 3"
    with pytest.raises(StoreDamagedError) as raised:
        there.check()
    assert raised.value.reason == "page 3"
    there.clear()
    assert (here.reason, there.reason, marker.exists()) == (None, None, False)


def test_the_marker_says_what_was_found_first_and_when(marker):
    Damage(marker).report("page 3")
    Damage(marker).report("page 4")
    (line,) = marker.read_text().splitlines(keepends=True)
    assert line.endswith("\n")
    found = json.loads(line)
    assert found.keys() == {"damage", "found_at"}
    assert found["damage"] == "page 3"
    age = datetime.now(UTC) - datetime.fromisoformat(found["found_at"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert stat.S_IMODE(marker.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"damage": 3}', '{"damage": null}', "\xff"])
def test_a_marker_without_a_reason_marks_damage_too(marker, text):
    """A full disk leaves it empty; an operator may have made it by hand."""
    marker.write_bytes(text.encode("latin-1"))
    assert Damage(marker).reason == "it was found to be damaged"


def test_without_a_marker_damage_is_known_to_its_process_alone():
    here, there = Damage(), Damage()
    here.report("page 3")
    here.report("page 4")
    assert (here.reason, there.reason) == ("page 3", None)
    here.clear()
    assert here.reason is None


def test_damage_whose_marker_cannot_be_written_is_known_to_its_process(tmp_path):
    damage = Damage(tmp_path / "none" / "marker")
    damage.report("page 3")
    assert damage.reason == "page 3"
    damage.clear()
    assert damage.reason is None


def test_a_marker_that_cannot_be_removed_does_not_stop_the_check_that_found_nothing(tmp_path):
    (tmp_path / "file").touch()
    Damage(tmp_path / "file" / "marker").clear()


def test_damage_found_before_there_was_a_marker_goes_into_it(marker):
    damage = Damage()
    damage.report("page 3")
    damage.use_marker(marker)
    assert Damage(marker).reason == "page 3"
    damage.clear()
    assert damage.reason is None


def test_the_first_marker_stays(marker, tmp_path):
    damage = Damage(marker)
    damage.use_marker(tmp_path / "other")
    damage.report("page 3")
    assert (marker.exists(), (tmp_path / "other").exists()) == (True, False)


def test_a_marker_is_not_written_without_damage(marker):
    damage = Damage()
    damage.use_marker(marker)
    assert not marker.exists()
    damage.report("page 3")
    assert damage.reason == "page 3"
    assert marker.exists()
