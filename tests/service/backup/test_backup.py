"""A backup continues the last one, survives a death at any step, and restores the log as it was."""

import io
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import ConfigurationError, EventStoreUnavailableError, StoreDamagedError
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from service.backup.backup import Options, back_up
from service.backup.catalog import Backup, parse_name, path_in, read_catalog
from service.backup.place import Directory, open_place
from service.backup.retention import delete_expired
from service.backup.segments import Reader
from service.backup.verify import verify
from service.errors import BackupError, DamagedBackupError, DamagedFileError
from service.settings import parse_duration
from service.transfer.event_file import check_file, lineage_of
from tests.controls import create
from tests.service.backup.places import (
    DAYS,
    DiedError,
    FailingPlace,
    LossyPlace,
    backups_in,
    events_of,
    grow,
    make,
    restored,
)

NOW = datetime.now(UTC)


@pytest.fixture
def place(tmp_path):
    return Directory(tmp_path / "backups")


@pytest.fixture
def log(sqlite_store):
    """A log with events."""
    grow(sqlite_store)
    return sqlite_store


def damage_in(place, tmp_path):
    return [one.name for one in verify(Reader(place, [], tmp_path)).damage]


def test_restored_log_is_identical(store, store_url, place, tmp_path):
    """Positions, ids, versions, types and every byte, from several backups, also with gaps."""
    for _ in range(3):
        if store_url.startswith("postgresql"):
            with psycopg.connect(store_url) as connection:
                connection.execute("SELECT nextval('cinelog_events_notification_id_seq')")
        grow(store)
        make(store, place)
    again = restored(tmp_path, place)
    assert events_of(again) == events_of(store)
    commit(again, [create()])
    assert again.head() == store.head() + 1
    again.close()


def test_second_backup_has_the_new_events_only(log, place):
    first = make(log, place)
    assert (first.kind, first.after, first.events) == ("full", 0, log.count())
    end = grow(log, 2)
    second = make(log, place)
    assert (second.kind, second.after, second.events) == ("incremental", first.position, 2)
    assert backups_in(place) == [[(0, first.position), (first.position, end)]]


def test_without_new_events_nothing_is_written(log, place):
    make(log, place)
    before = sorted(place.names())
    made = make(log, place)
    assert (made.kind, made.position, made.events) == ("none", log.head(), 0)
    assert sorted(place.names()) == before


def test_empty_log_needs_no_backup(sqlite_store, place):
    assert make(sqlite_store, place).kind == "none"
    assert place.names() == []


def test_files_are_private(log, place):
    make(log, place)
    path = Path(place.url)
    assert path.stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o777 for one in path.iterdir()} == {0o600}


def test_restore_to_a_position_is_the_log_up_to_it(log, place, tmp_path):
    make(log, place)
    grow(log)
    make(log, place)
    events = events_of(log)
    for position in range(1, log.head() + 1):
        again = restored(tmp_path, place, position=position)
        assert events_of(again) == events[:position]
        assert (again.identity().log, again.identity().epochs[-1][1:]) == (
            log.identity().log,
            (log.identity().epoch, position),
        )
        again.close()


def test_restore_to_a_time_is_the_log_as_it_was_then(sqlite_store, place, tmp_path):
    """Up to the first event that is stamped later, also where clocks went back (decision 24)."""
    minutes = [0, 1, 5, 3, 4, 6]
    for minute in minutes:
        at = NOW + timedelta(minutes=minute)
        commit(sqlite_store, [create().model_copy(update={"at": at})])
        make(sqlite_store, place)
    stamps = [read[1] for read in sqlite_store.read_timestamps(0, 100)]
    for minute, kept in [(0, 1), (1, 2), (4, 2), (5, 5), (5.5, 5), (6, 6), (99, 6)]:
        again = restored(tmp_path, place, time=NOW + timedelta(minutes=minute))
        assert [read[1] for read in again.read_timestamps(0, 100)] == stamps[:kept]
        again.close()
    with pytest.raises(BackupError, match="no event then"):
        restored(tmp_path, place, time=NOW - timedelta(minutes=1))


def test_position_beyond_the_end_is_refused(log, place, tmp_path):
    make(log, place)
    with pytest.raises(BackupError, match=f"ends at position {log.head()}"):
        restored(tmp_path, place, position=log.head() + 1)
    with pytest.raises(BackupError, match="no chain nonsense"):
        restored(tmp_path, place, chain="nonsense")
    with pytest.raises(BackupError, match="has no backup"):
        restored(tmp_path, Directory(tmp_path / "other"))


def test_place_of_another_log_is_refused(log, place, tmp_path):
    make(log, place)
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    grow(other)
    with pytest.raises(ConfigurationError, match="backups of another log"):
        make(other, place)
    other.close()


def test_restored_log_begins_a_chain_and_keeps_the_old_one(log, place, tmp_path):
    """It is another epoch, and the old chain may be all that is left of the lost events."""
    make(log, place)
    again = restored(tmp_path, place, position=2)
    grow(again, 1)
    assert make(again, place).kind == "full"
    assert backups_in(place) == [[(0, log.head())], [(0, 3)]]
    old, _ = read_catalog(place).chains
    lost = restored(tmp_path, place, chain=old.name)
    assert events_of(lost) == events_of(log)
    again.close()
    lost.close()


def test_chain_is_renewed_after_a_while(log, place):
    make(log, place)
    age(place, 7)
    grow(log)
    assert make(log, place, full_every=8 * DAYS).kind == "incremental"
    grow(log)
    assert make(log, place).kind == "full"
    assert [len(chain) for chain in backups_in(place)] == [2, 1]
    age(place, 1)
    assert make(log, place, full=True).kind == "full"
    grow(log)
    assert make(log, place).kind == "incremental"
    assert [len(chain) for chain in backups_in(place)] == [2, 1, 2]


def test_death_at_any_step_leaves_the_earlier_backups_good(log, place, tmp_path):
    """And the next backup is complete."""
    make(log, place)
    steps = 0
    while True:
        before = backups_in(place)
        grow(log, 1)
        failing = FailingPlace(tmp_path / "backups", steps)
        try:
            make(log, failing, folder=tmp_path)
        except DiedError:
            steps += 1
        else:
            break
        assert damage_in(place, tmp_path) == []
        assert backups_in(place)[0][: len(before[0])] == before[0]
        again = restored(tmp_path, place)
        assert events_of(again) == events_of(log)[: again.head()]
        again.close()
    assert steps > 6
    again = restored(tmp_path, place)
    assert events_of(again) == events_of(log)
    again.close()


@pytest.mark.parametrize("kind", [".jsonl.gz", ".manifest"])
def test_what_cannot_be_read_back_does_not_count(log, place, tmp_path, kind):
    """Whatever the storage has confirmed."""
    make(log, place)
    good = backups_in(place)
    grow(log)
    with pytest.raises(DamagedBackupError, match="read back"):
        make(log, LossyPlace(tmp_path / "backups", only=kind), folder=tmp_path)
    if kind == ".jsonl.gz":
        assert backups_in(place) == good
    made = make(log, place)
    again = restored(tmp_path, place, chain=made.chain)
    assert events_of(again) == events_of(log)
    again.close()


def test_log_that_is_set_back_meanwhile_is_not_backed_up(log, place, tmp_path):
    """The file would hold a state that the log never had."""
    identity = log.identity()

    def set_back(_):
        with log.writer_lock():
            log.write_identity(identity.next_epoch(1, identity.epoch))

    with pytest.raises(EventStoreUnavailableError, match="set back"):
        back_up(log, place, Options(tmp_path), set_back)
    assert backups_in(place) == []


def test_log_with_a_missing_event_is_not_backed_up(log, place, tmp_path):
    """It is damaged; an incremental backup counts the events before it, too."""
    make(log, place)
    grow(log)
    with closing(sqlite3.connect(tmp_path / "events.db")) as database:
        database.execute("DELETE FROM stored_events WHERE rowid = 2")
        database.commit()
    with pytest.raises(StoreDamagedError):
        make(log, place)


KILLED = """
import os, sys
from pathlib import Path
from commands.event_store.store import Store
from service.backup.backup import Options, back_up
from service.backup.place import Directory

calls = 0
def advance(_):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        os.kill(os.getpid(), 9)

back_up(Store.open(sys.argv[1]), Directory(Path(sys.argv[2])), Options(Path(sys.argv[2]).parent), advance)
"""


@pytest.mark.parametrize("call", [2, 3])
def test_killed_backup_leaves_no_trace_that_counts(log, place, tmp_path, call):
    """Killed before the file is complete (2), and while it is read back (3)."""
    make(log, place)
    good = backups_in(place)
    grow(log)
    words = [f"sqlite:///{tmp_path}/events.db", tmp_path / "backups", call]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert backups_in(place) == good
    assert {one.name.partition(".")[0] for one in tmp_path.iterdir()} == {"backups", "events"}
    make(log, place)
    assert damage_in(place, tmp_path) == []
    again = restored(tmp_path, place)
    assert events_of(again) == events_of(log)
    again.close()


def test_backups_made_at_once_are_both_good(log, place, tmp_path):
    """Two machines without a common Redis may do so."""
    make(log, place)
    other = Directory(tmp_path / "other")
    shutil.copytree(place.url, other.url)
    grow(log)
    make(log, place)
    grow(log)
    make(log, other)
    shutil.copytree(other.url, place.url, dirs_exist_ok=True)
    assert damage_in(place, tmp_path) == []
    grow(log)
    make(log, place)
    again = restored(tmp_path, place)
    assert events_of(again) == events_of(log)
    again.close()


def backup_of(after, until):
    return Backup(f"{after}-{until}", "c", "l", 1, NOW, after, until, NOW, encrypted=False)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=12))
def test_path_leads_as_far_as_any(steps):
    backups = [backup_of(a, a + n) for a, n in steps]
    path = path_in(backups)
    assert all(one in backups for one in path)
    assert [one.after for one in path] == [0, *(one.until for one in path)][: len(path)]
    reached = {0}
    for _ in backups:
        reached |= {one.until for one in backups if one.after in reached}
    assert max(reached) == (path[-1].until if path else 0)


def files_of(place, kind):
    return sorted(n for n in place.names() if n.endswith(".manifest") == (kind == "manifest"))


@pytest.mark.parametrize("kind", ["events", "manifest"])
def test_any_damage_is_found_and_never_restored(log, place, tmp_path, kind):
    make(log, place)
    grow(log)
    make(log, place)
    for name in files_of(place, kind):
        path = Path(place.url) / name
        content = path.read_bytes()
        step = max(1, len(content) // 16)
        for at in [*range(0, len(content), step), len(content) - 1]:
            changed = bytearray(content)
            changed[at] ^= 1
            path.write_bytes(changed)
            assert damage_in(place, tmp_path) == [name]
        path.write_bytes(content[: len(content) // 2])
        assert damage_in(place, tmp_path) == [name]
        with pytest.raises(DamagedBackupError):
            restored(tmp_path, place)
        path.write_bytes(content)
    assert damage_in(place, tmp_path) == []


def test_missing_file_breaks_the_chain_and_the_next_backup_begins_another(log, place, tmp_path):
    first = make(log, place)
    grow(log)
    second = make(log, place)
    lost = next(n for n in files_of(place, "events") if parse_name(n).after == 0)
    place.delete(lost)
    assert damage_in(place, tmp_path) == [
        n for n in files_of(place, "events") if parse_name(n).after == first.position
    ]
    with pytest.raises(BackupError, match="no backup"):
        restored(tmp_path, place)
    assert make(log, place).kind == "full"
    again = restored(tmp_path, place)
    assert again.head() == second.position
    again.close()


def test_damaged_end_can_be_restored_up_to_before(log, place, tmp_path):
    first = make(log, place)
    grow(log)
    make(log, place)
    name = files_of(place, "manifest")[-1]
    (Path(place.url) / name).write_bytes(b"{}")
    with pytest.raises(DamagedBackupError, match=f"--to-position {first.position}"):
        restored(tmp_path, place)
    again = restored(tmp_path, place, position=first.position)
    assert again.head() == first.position
    again.close()
    # The next backup does not continue what cannot be read.
    assert make(log, place).kind == "full"


def test_full_backup_is_an_export_and_a_part_is_not(log, place):
    """``import --events`` reads the first, and must not take the second for a whole log."""
    make(log, place)
    grow(log)
    make(log, place)
    full, part = sorted(files_of(place, "events"), key=lambda name: parse_name(name).after)
    with (Path(place.url) / full).open("rb") as file:
        assert check_file(file, lambda _: None).events == parse_name(full).until
    with (Path(place.url) / part).open("rb") as file:
        with pytest.raises(DamagedFileError, match="cinelog restore"):
            check_file(file, lambda _: None)
        with pytest.raises(DamagedFileError):
            lineage_of(file)


def age(place, days):
    """Make all files older by their names."""
    path = Path(place.url)
    for name in place.names():
        one = parse_name(name.removesuffix(".manifest"))
        new = name
        for time in {one.began, one.at}:
            shown = "%Y%m%dT%H%M%S.%fZ"
            new = new.replace(time.strftime(shown), (time - days * DAYS).strftime(shown))
        (path / name).rename(path / new)


def test_older_chains_are_deleted_after_their_time(log, place, tmp_path):
    """The newest is kept whatever its age, and so is a chain that may be needed."""
    make(log, place)
    age(place, 40)
    assert delete_expired(place, 30 * DAYS, NOW) == []
    grow(log)
    assert make(log, place, full_every=99 * DAYS, keep=30 * DAYS).kind == "incremental"
    (chain,) = read_catalog(place).chains
    assert len(chain.backups) == 2
    age(place, 29)
    grow(log)
    made = make(log, place, keep=30 * DAYS)
    assert (made.kind, made.expired, len(backups_in(place))) == ("full", [], 2)
    age(place, 2)
    (old, _) = read_catalog(place).chains
    made = make(log, place, full_every=99 * DAYS, keep=30 * DAYS)
    assert (made.kind, made.expired) == ("none", [old.name])
    again = restored(tmp_path, place)
    assert events_of(again) == events_of(log)
    again.close()


def test_nothing_is_deleted_while_the_newest_chain_is_damaged(log, place):
    make(log, place)
    age(place, 40)
    grow(log)
    make(log, place)
    newest = read_catalog(place).chains[-1].first
    (Path(place.url) / newest.manifest).write_bytes(b"")
    assert delete_expired(place, 30 * DAYS, NOW) == []
    assert len(backups_in(place)) == 2


def test_files_of_unfinished_backups_are_deleted_after_a_day(log, place):
    make(log, place)
    name = files_of(place, "events")[0]
    for left in [name, f".{name}.abcd.part", f".{name}.manifest.abcd.part"]:
        (Path(place.url) / left.replace(name[:-9], name[:-17] + "0badbad0")).write_bytes(b"x")
    (Path(place.url) / "notes.txt").write_text("mine")
    before = set(place.names())
    delete_expired(place, None, NOW)
    assert set(place.names()) == before
    delete_expired(place, None, NOW + 2 * DAYS)
    assert set(place.names()) == {name, f"{name}.manifest", "notes.txt"}


def test_place_is_a_directory_or_a_url(tmp_path):
    assert open_place(str(tmp_path)).url == open_place(f"file://{tmp_path}").url == str(tmp_path)
    with pytest.raises(ConfigurationError, match="CINELOG_BACKUP_URL"):
        open_place("")
    with pytest.raises(BackupError, match="No such file"):
        open_place(str(tmp_path / "a" / "b")).write("x", io.BytesIO(), lambda: None)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1 hour", DAYS / 24),
        ("30 days", 30 * DAYS),
        ("90second", DAYS / 960),
        ("off", None),
        ("", None),
    ],
)
def test_durations_of_settings(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["hourly", "0 days", "-1 day", "1 hour 5 minutes", "1", "9" * 9 + " days"]
)
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError, match="1 hour"):
        parse_duration(text)
