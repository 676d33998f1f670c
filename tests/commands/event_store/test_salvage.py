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
STREAM = "0123456789abcdef" * 2
INNER = 5


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


def made(path, rows, *, page_bytes=4096, reserved=None):
    """Make a file with a table like that of events."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute("CREATE TABLE t (id TEXT, version INTEGER, topic TEXT, state BLOB)")
        connection.executemany(
            "INSERT INTO t (rowid, id, version, topic, state) VALUES (?, ?, ?, ?, ?)", rows
        )
    return path


def events_in(path, is_wanted=lambda _: True):
    return list(LeafPages(path).events(is_wanted, lambda *_: None))


def as_events(rows):
    return [
        RawEvent(position, str(UUID(stream)), version, topic, state)
        for position, stream, version, topic, state in rows
    ]


@pytest.mark.parametrize("page_bytes", [512, 1024, 4096, 65_536])
def test_pages_of_each_size_are_read(tmp_path, page_bytes):
    """Events are longer than a page, as long as one, and short."""
    rows = [
        (
            number,
            STREAM,
            number,
            "T" * (number % 7 + 1),
            bytes([number % 251]) * (number**2 % 9_001),
        )
        for number in range(1, 200)
    ]
    rows.append((200, STREAM, 200, "Long", b"l" * 150_000))
    assert events_in(made(tmp_path / "db", rows, page_bytes=page_bytes)) == as_events(rows)


def test_hundreds_of_events_on_a_page_are_read(tmp_path):
    rows = [(number, STREAM, number, "T", b"") for number in range(1, 2_000)]
    assert events_in(made(tmp_path / "db", rows, page_bytes=65_536)) == as_events(rows)


def test_pages_that_keep_bytes_at_their_end_are_read(tmp_path):
    """Extensions of SQLite that encrypt or checksum pages reserve some."""
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 1")
    with path.open("r+b") as file:
        file.seek(20)
        file.write(bytes([32]))
        file.seek(105)
        file.write((PAGE - 32).to_bytes(2, "big"))
    rows = [(number, STREAM, number, "T", b"x" * (3_900 + number)) for number in range(1, 300)]
    assert events_in(made(path, rows)) == as_events(rows)
    assert path.read_bytes()[20] == 32


def test_what_is_left_of_the_last_page_is_read(tmp_path):
    path = made(tmp_path / "db", [(n, STREAM, n, "T", b"x" * 90) for n in range(1, 26)])
    with path.open("r+b") as file:
        file.truncate(PAGE + PAGE // 2)
    assert [event.position for event in events_in(path)] == list(range(16, 26))


def test_every_length_around_the_bound_of_a_page_is_read(tmp_path):
    """There a record goes on in another page."""
    rows = [(n, STREAM, 1, "T", b"x" * (370 + n)) for n in range(1, 160)]
    rows += [(n, STREAM, 1, "T", b"x" * (800 + n)) for n in range(160, 400)]
    assert events_in(made(tmp_path / "db", rows, page_bytes=512)) == as_events(rows)


def test_numbers_of_each_length_are_read(tmp_path):
    """SQLite stores them in as few bytes as it can."""
    numbers = [1, 2, 127, 128, 32_767, 32_768, 1 << 23, 1 << 31, 1 << 47, (1 << 63) - 1]
    rows = [(number, STREAM, number, "T", b"") for number in numbers]
    assert events_in(made(tmp_path / "db", rows)) == as_events(rows)


@pytest.mark.parametrize(
    "other",
    [
        (0, STREAM, 1, "T", b"x"),
        (-5, STREAM, 1, "T", b"x"),
        (5, STREAM, 0, "T", b"x"),
        (5, STREAM, -1, "T", b"x"),
        (5, STREAM, 1.5, "T", b"x"),
        (5, STREAM, None, "T", b"x"),
        (5, STREAM[1:], 1, "T", b"x"),
        (5, STREAM.upper(), 1, "T", b"x"),
        (5, STREAM + "0", 1, "T", b"x"),
        (5, STREAM.encode(), 1, "T", b"x"),
        (5, STREAM, 1, b"T", b"x"),
        (5, STREAM, 1, None, b"x"),
        (5, STREAM, 1, "T", "x"),
        (5, STREAM, 1, "T", None),
    ],
    ids=repr,
)
def test_records_of_another_shape_are_skipped(tmp_path, other):
    rows = [(3, STREAM, 1, "T", b"x"), (7, STREAM, 2, "T", b"y")]
    assert events_in(made(tmp_path / "db", [*rows, other])) == as_events(rows)


def test_records_with_another_number_of_columns_are_skipped(tmp_path):
    path = made(tmp_path / "db", [(3, STREAM, 1, "T", b"x")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE u (id TEXT, version INTEGER, topic TEXT)")
        connection.execute("INSERT INTO u VALUES (?, 1, 'T')", (STREAM,))
        connection.execute("CREATE TABLE v (id TEXT, version INTEGER, topic TEXT, s BLOB, x BLOB)")
        connection.execute("INSERT INTO v VALUES (?, 1, 'T', x'', x'')", (STREAM,))
    assert events_in(path) == as_events([(3, STREAM, 1, "T", b"x")])


def test_only_wanted_positions_are_read_each_once_and_in_order(tmp_path):
    path = made(tmp_path / "db", [(n, STREAM, n, "T", b"x") for n in (9, 4, 7, 2)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE old AS SELECT * FROM t")  # rowids 1 to 4
    assert [event.position for event in events_in(path)] == [1, 2, 3, 4, 7, 9]
    assert [event.position for event in events_in(path, lambda n: n % 2)] == [1, 3, 7, 9]
    assert events_in(path, lambda n: n == 2)[0].version == 2


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
    found = events_in(path)
    assert found[:EVENTS] == events
    claims = [
        (EVENTS + 1 + number, f"{number:032x}", 1, "ClaimMade", state) for number in range(50)
    ]
    assert found[EVENTS:] == as_events(claims)
