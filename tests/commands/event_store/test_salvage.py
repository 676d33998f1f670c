"""What can be read of a damaged SQLite file is read, and what cannot is named.

``tests/service/transfer/test_salvage.py`` does the same with the command line, and on PostgreSQL.
"""

import functools
import json
import operator
import shutil
import sqlite3
from contextlib import closing
from uuid import UUID

import pytest

from commands.errors import ConfigurationError
from commands.event_store.event_codec import RawEvent
from commands.event_store.salvage import EventProblem, LostEvents, Salvage, check_events
from commands.event_store.sqlite.leaves import LeafPages
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import ANN, MOVIE, create, register, update
from tests.damaged import INDEX, PAGE, TABLE, leaf_pages

EVENTS = 125
INNER = 5
KEPT = 5  # events


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A closed store of several pages; one event is longer than a page."""
    path = tmp_path_factory.mktemp("filled") / "events.db"
    with closing(Store.open(f"sqlite:///{path}")) as store:
        commit(store, [register(ANN), create(MOVIE)])
        commit(store, [create(title=f"Élan {number}") for number in range(60)])
        commit(store, [update(title="Aliens", request_id="x" * 9000)])
        commit(store, [create(title=f"Élan {number}") for number in range(60)])
        assert store.head() == EVENTS
        events = store.read_raw(0, 1_000, 1_000)
    return path, events


@pytest.fixture
def path(filled, tmp_path):
    return shutil.copy(filled[0], tmp_path / "events.db")


@pytest.fixture
def events(filled):
    return filled[1]


def overwrite(path, page, junk=b"\xff" * PAGE):
    """Write over a page. No store is open on the file, so this process may."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(junk)


def keep_some(path, page):
    """Let a leaf page list only its first events."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE + 3)
        file.write(KEPT.to_bytes(2, "big"))


def positions_on(path, page):
    """Return the positions of the events that begin on a leaf page."""
    whole = LeafPages(path)
    cells = [whole._event(whole._page(page), at) for at in whole._cells(whole._page(page), page)]
    return [event.position for event in cells if event]


def pages_of_events(path):
    return [page for page in leaf_pages(path, TABLE) if positions_on(path, page)]


def read(path, *, pages_alone=False):
    """Return the events and the losses, each in the order given, and the calls of ``advance``."""
    calls, parts = [], []
    store = None if pages_alone else Store.open(f"sqlite:///{path}", create=False)
    salvage = Salvage(store, path, lambda *call: calls.append(call))
    parts = list(salvage.parts())
    assert parts == list(salvage.parts())  # each call reads again
    if store:
        store.close()
    starts = [part.first if isinstance(part, LostEvents) else part[0].position for part in parts]
    assert starts == sorted(starts)
    lost = [part for part in parts if isinstance(part, LostEvents)]
    return [event for part in parts if isinstance(part, list) for event in part], lost, calls


def problems(path):
    reached = []
    with closing(Store.open(f"sqlite:///{path}", create=False)) as store:
        return list(check_events(store, lambda *call: reached.append(call))), reached


def without(events, positions):
    return [event for event in events if event.position not in set(positions)]


def test_all_is_read_of_a_whole_file(path, events):
    found, lost, calls = read(path)
    assert (found, lost) == (events, [])
    assert calls[0] == ("read", EVENTS, EVENTS)
    assert ("write", EVENTS, EVENTS) in calls
    assert problems(path) == ([], [(EVENTS, EVENTS)])


def test_all_is_read_of_the_pages_alone(path, events):
    found, lost, calls = read(path, pages_alone=True)
    assert (found, lost) == (events, [])
    pages = path.stat().st_size // PAGE
    assert calls[:pages] == [("pages", page, pages) for page in range(1, pages + 1)]


@pytest.mark.parametrize("pages_alone", [False, True])
def test_the_events_of_a_broken_page_are_lost_and_no_others(path, events, pages_alone):
    pages = pages_of_events(path)
    gone = [positions_on(path, pages[at]) for at in (1, 3)]
    for at in (1, 3):
        overwrite(path, pages[at])
    found, lost, _ = read(path, pages_alone=pages_alone)
    assert found == without(events, functools.reduce(operator.iadd, gone, []))
    assert lost == [LostEvents(one[0], one[-1]) for one in gone]


def test_a_page_that_is_no_leaf_any_more_loses_its_events(path, events):
    """Its tree leads to nothing, without an error."""
    page = pages_of_events(path)[1]
    gone = positions_on(path, page)
    overwrite(path, page, bytes(PAGE))
    found, lost, _ = read(path)
    assert found == without(events, gone)
    assert lost == [LostEvents(gone[0], gone[-1])]


@pytest.mark.parametrize("junk", [b"\xff" * PAGE, bytes(PAGE)])
def test_a_broken_page_above_all_events_loses_none(path, events, junk):
    (inner,) = leaf_pages(path, INNER)
    overwrite(path, inner, junk)
    found, lost, _ = read(path)
    assert (found, lost) == (events, [])


def test_a_broken_index_loses_no_event(path, events):
    for page in leaf_pages(path, INDEX):
        overwrite(path, page)
    found, lost, _ = read(path)
    assert (found, lost) == (events, [])


def test_a_broken_first_page_leaves_the_others(path, events):
    """The database cannot be opened, so only its pages are read, of the usual size."""
    overwrite(path, 1)
    with pytest.raises(ConfigurationError):
        Store.open(f"sqlite:///{path}", create=False)
    found, lost, _ = read(path, pages_alone=True)
    assert (found, lost) == (events, [])


def test_a_broken_last_page_loses_the_end(path, events):
    """How much is lost is in the index."""
    page = pages_of_events(path)[-1]
    gone = positions_on(path, page)
    assert gone[-1] == EVENTS
    overwrite(path, page)
    found, lost, _ = read(path)
    assert found == events[: gone[0] - 1]
    assert lost in ([], [LostEvents(gone[0], EVENTS)])


def test_a_gap_that_never_had_an_event_is_no_loss(path, events):
    """A log that came from PostgreSQL has such gaps."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM stored_events WHERE rowid IN (1, 40, 41, 90)")
    found, lost, _ = read(path)
    assert found == without(events, [1, 40, 41, 90])
    assert lost == []


def test_events_that_vanished_without_an_error_are_lost_if_the_index_has_them(path, events):
    """A page that lists fewer looks whole. One event was deleted before, so it is no loss."""
    pages = pages_of_events(path)
    first, second, third = (positions_on(path, pages[at]) for at in (1, 3, 5))
    deleted = first[9]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM stored_events WHERE rowid = ?", (deleted,))
    keep_some(path, pages[1])
    keep_some(path, pages[3])
    overwrite(path, pages[5])
    found, lost, _ = read(path)
    assert found == without(events, [*first[KEPT:], *second[KEPT:], *third])
    assert lost == [
        LostEvents(first[KEPT], deleted - 1),
        LostEvents(deleted + 1, first[-1]),
        LostEvents(second[KEPT], second[-1]),
        LostEvents(third[0], third[-1]),
    ]


def test_without_an_index_every_gap_counts_as_lost(path, events):
    for page in leaf_pages(path, INDEX):
        overwrite(path, page)
    page = pages_of_events(path)[1]
    gone = positions_on(path, page)
    keep_some(path, page)
    found, lost, _ = read(path)
    assert (found, lost) == (without(events, gone[KEPT:]), [LostEvents(gone[KEPT], gone[-1])])


def test_a_check_says_that_the_end_or_the_streams_cannot_be_read(path):
    copy = shutil.copy(path, path.with_name("copy.db"))
    overwrite(path, pages_of_events(path)[-1])
    end = EventProblem(0, 0, "the end of the log cannot be read")
    assert problems(path) == ([end], [])
    for page in leaf_pages(copy, INDEX):
        overwrite(copy, page)
    reason = "streams cannot be counted: SQLite: database disk image is malformed"
    assert problems(copy) == ([EventProblem(0, 0, reason)], [(EVENTS, EVENTS)])


def test_without_a_file_the_database_alone_is_asked(path, events):
    page = pages_of_events(path)[1]
    gone = positions_on(path, page)
    overwrite(path, page)
    with closing(Store.open(f"sqlite:///{path}", create=False)) as store:
        parts = list(Salvage(store, None, lambda *_: None).parts())
    found = [event for part in parts if isinstance(part, list) for event in part]
    assert found == without(events, [*gone, gone[-1] + 1])


def test_a_check_names_events_that_cannot_be_read(path):
    page = pages_of_events(path)[1]
    gone = positions_on(path, page)
    overwrite(path, page)
    found, reached = problems(path)
    # SQLite looks for the event after the last one on the page that had it.
    assert found[0] == EventProblem(gone[0], gone[-1] + 1, "cannot be read")
    assert reached[-1] == (EVENTS, EVENTS)


def test_a_check_names_events_that_cannot_be_decoded(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE stored_events SET state = x'7b22' WHERE rowid = 30")
        connection.execute("UPDATE stored_events SET topic = 'Nothing' WHERE rowid = 31")
    (one, other), _ = problems(path)
    assert one == EventProblem(30, 30, "it cannot be decoded (MapperDeserialisationError)")
    assert other == EventProblem(31, 31, "it cannot be decoded (TopicError)")


def test_a_check_names_streams_with_a_hole(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "DELETE FROM stored_events WHERE originator_id = ? AND originator_version = 1",
            (MOVIE.hex,),
        )
    (problem,), _ = problems(path)
    assert problem.first == problem.last
    assert problem.problem == f"its stream {MOVIE} lacks an event before or after it"


def test_committed_pages_of_the_write_ahead_log_come_first(path, events):
    """A killed process leaves one; what it had not committed does not count."""
    state = json.dumps({"timestamp": "2026-01-02T12:00:00.000250Z", "owner": "x"}).encode()
    insert = "INSERT INTO stored_events VALUES (?, 1, 'ClaimMade', ?)"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = 1")
        for number in range(50):
            connection.execute(insert, (f"{number:032x}", state))
        connection.execute("BEGIN")
        for number in range(50, 400):  # spills into the log
            connection.execute(insert, (f"{number:032x}", state))
        kept = {name: path.with_name(name).read_bytes() for name in ("events.db", "events.db-wal")}
        connection.execute("ROLLBACK")
    for name, content in kept.items():
        path.with_name(name).write_bytes(content)
    path.with_name("events.db-shm").unlink(missing_ok=True)
    found, _, _ = read(path, pages_alone=True)
    assert found[:EVENTS] == events
    assert found[EVENTS:] == [
        RawEvent(EVENTS + 1 + number, str(UUID(int=number)), 1, "ClaimMade", state)
        for number in range(50)
    ]
