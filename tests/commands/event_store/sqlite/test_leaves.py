"""Events are read from pages of each size, and nothing that is no event."""

import sqlite3
from contextlib import closing
from uuid import UUID

import pytest

from commands.event_store.event_codec import RawEvent
from commands.event_store.sqlite.leaves import LeafPages
from tests.damaged import PAGE

STREAM = "0123456789abcdef" * 2


def made(path, rows, *, page_bytes=4096):
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
