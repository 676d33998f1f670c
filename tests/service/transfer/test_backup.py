"""Backup: export of the log and of movies, and import of a log into an empty store."""

import csv
import gzip
import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import ConfigurationError
from commands.event_store.event_codec import RawEvent
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from service.errors import DamagedFileError
from service.transfer.event_file import EventWriter, check_file, read_events, restore
from service.transfer.export import export_events, export_movies
from service.transfer.import_movies import import_movies
from service.transfer.row_reader import read_rows
from tests.controls import ANN, BOB, MOVIE, create, delete, new_id, register, revert, update
from tests.running import run

NAMES = ["log.jsonl", "log.jsonl.gz"]


def ignore_progress(_):
    """Ignore progress."""


def events_of(store):
    return store.read_raw(0, 1_000_000, store.head())


def file_of(events, *, compressed=False):
    """Return the content of a file of ``events``."""
    file = io.BytesIO()
    writer = EventWriter(file, compressed=compressed)
    if events:
        writer.add(events)
    writer.finish()
    return file.getvalue()


def events_in(content):
    return list(read_events(io.BytesIO(content)))


def with_checksum(*lines):
    """Return a file with any lines and a valid last line."""
    text = b"".join(b"%s\n" % line for line in (b'{"cinelog":"events","format":1}', *lines))
    last = {"count": len(lines), "sha256": hashlib.sha256(text).hexdigest()}
    return text + json.dumps(last, separators=(",", ":")).encode() + b"\n"


def line(position=1, stream=MOVIE, version=1, kind='"MovieCreated"', state="{}"):
    front = f'{{"position":{position},"stream_id":"{stream}","version":{version},"type":{kind}'
    return f'{front},"state":{state}}}'.encode()


def long_log(count):
    """Return a long log with gaps."""
    state = b'{"timestamp":"2026-01-02T12:00:00.000250Z","owner":"%d"}'
    return [RawEvent(3 * n, str(new_id()), 1, "ClaimMade", state % n) for n in range(1, count + 1)]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_store_url(request, tmp_path):
    """Return a function that returns the URL of another empty store, for both databases."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/{new_id()}.db"
    return request.getfixturevalue("postgres")


@pytest.fixture
def varied_store(store, store_url):
    """A store with events of all kinds; on PostgreSQL its positions have gaps."""

    def leave_a_gap():
        if store_url.startswith("postgresql"):
            with psycopg.connect(store_url) as connection:
                connection.execute("SELECT nextval('cinelog_events_notification_id_seq')")

    leave_a_gap()
    commit(store, [register(ANN), register(BOB, username="bob")])
    leave_a_gap()
    commit(
        store, [create(MOVIE), create(title='„Fünf" Filme, 🎬\r\n', genre="a\rb"), create(by=BOB)]
    )
    leave_a_gap()
    commit(store, [update(title="Aliens")])
    gone = new_id()
    commit(store, [create(gone)])
    commit(store, [delete(gone), delete()])
    commit(store, [revert(version=2)])
    gaps = store.head() - store.count()
    assert gaps == (3 if store_url.startswith("postgresql") else 0)
    return store


def test_restored_log_is_identical(varied_store, store_url, new_store_url, tmp_path):
    """Positions, ids, versions, types and every byte of a state, between SQLite and PostgreSQL."""
    to_url = new_store_url()
    name = NAMES[to_url.startswith("sqlite")]
    file, again = tmp_path / name, tmp_path / f"again-{name}"
    done = run(tmp_path / "var", "export", "--events", file, event_store_url=store_url)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(tmp_path / "var", "import", "--events", file, "--json", event_store_url=to_url)
    assert (done.returncode, done.stderr) == (0, "")
    report = {"events": varied_store.count(), "position": varied_store.head(), "damage": None}
    assert json.loads(done.stdout) == report
    restored = Store.open(to_url)
    assert events_of(restored) == events_of(varied_store)
    assert (restored.head(), restored.count()) == (varied_store.head(), varied_store.count())
    export_events(restored, again, ignore_progress)
    assert _events_in(again) == _events_in(file)
    restored.close()


def _events_in(file):
    """Return the lines of the events; the first line differs by the epoch."""
    content = file.read_bytes()
    return (gzip.decompress(content) if file.suffix == ".gz" else content).splitlines()[1:-1]


def test_restored_store_accepts_commands(varied_store, new_store_url, tmp_path):
    """The next event follows the last one; accounts and movies are complete."""
    restored = Store.open(new_store_url())
    file = io.BytesIO(file_of(events_of(varied_store)))
    restore(restored, file, ignore_progress)
    assert restored.account_id_of("BOB") == BOB
    (receipt,) = commit(restored, [update(year=1986)])
    assert receipt.position == varied_store.head() + 1
    assert (receipt.aggregate.details.title, receipt.aggregate.version) == ("Aliens", 5)
    assert restored.count() == varied_store.count() + 1
    (taken,) = commit(restored, [register(username="Ann")])
    assert "already exists" in str(taken)
    restored.close()


@pytest.mark.parametrize("name", NAMES)
def test_empty_log_is_restored(store, new_store_url, tmp_path, name):
    file = tmp_path / name
    assert export_events(store, file, ignore_progress) == (0, 0)
    restored = Store.open(new_store_url())
    with file.open("rb") as source:
        assert check_file(source, ignore_progress) == (0, 0)
        restore(restored, source, ignore_progress)
    assert restored.head() == 0
    commit(restored, [create(MOVIE)])
    assert restored.head() == 1
    restored.close()


def test_file_is_readable_json_lines(sqlite_store, tmp_path):
    """JSON Lines with a readable state and mode 0600; gzip has the same content."""
    commit(sqlite_store, [create(MOVIE, title="Ünder")])
    plain, packed = tmp_path / "log.jsonl", tmp_path / "log.jsonl.gz"
    for file in (plain, packed):
        export_events(sqlite_store, file, ignore_progress)
        assert file.stat().st_mode & 0o777 == 0o600
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert subprocess.run(["gzip", "-t", packed], check=False).returncode == 0
    text = plain.read_bytes()
    first, event, last = map(json.loads, text.splitlines())
    log = {"log": sqlite_store.identity().log, "epochs": [[1, None, 0]]}
    assert first == {"cinelog": "events", "format": 2} | log
    assert (event["position"], event["stream_id"], event["version"]) == (1, str(MOVIE), 1)
    assert (event["type"], event["state"]["title"]) == ("MovieCreated", "Ünder")
    digest = hashlib.sha256(text[: text.rindex(b'{"count"')]).hexdigest()
    assert last == {"count": 1, "sha256": digest}


ODD_STATES = [
    b'{"a": 1}',
    b' {"a":1,"a":2}\r\t ',
    '{"title":"Ü\\u00dc\u2028"}'.encode(),
    b'{"a":\n1}',
    b'{"a":1e400}',
    b"no JSON",
    b"\xff\x00",
    b"",
]


def test_odd_states_are_restored_byte_for_byte(store):
    """A backup keeps even a state that Cinelog would not write."""
    events = [RawEvent(n, str(MOVIE), n, "Odd", state) for n, state in enumerate(ODD_STATES, 1)]
    restore(store, io.BytesIO(file_of(events)), ignore_progress)
    assert events_of(store) == events


STATES = st.one_of(
    st.binary(),
    st.text().map(str.encode),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()).map(
        lambda fields: json.dumps(fields, indent=len(fields) % 2 or None).encode()
    ),
)


@given(
    st.lists(
        st.tuples(st.integers(1, 2**20), st.uuids(), st.integers(1, 2**31), st.text(), STATES)
    ),
    st.booleans(),
)
def test_any_log_round_trips(facts, compressed):
    events, position = [], 0
    for step, stream, version, kind, state in facts:
        position += step
        events.append(RawEvent(position, str(stream), version, kind.replace("\0", ""), state))
    assert events_in(file_of(events, compressed=compressed)) == events


@pytest.mark.parametrize("compressed", [False, True])
def test_any_changed_bit_is_detected(compressed):
    """Every bit of a small file, including the gzip container."""
    content = file_of(long_log(6), compressed=compressed)
    file = bytearray(content)
    for place in range(len(file)):
        for bit in range(8):
            file[place] ^= 1 << bit
            with pytest.raises(DamagedFileError):
                events_in(file)
            file[place] ^= 1 << bit
    assert bytes(file) == content


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_or_extended_file_is_refused(compressed):
    content = file_of(long_log(20), compressed=compressed)
    damaged = [content[:length] for length in range(len(content))]
    damaged += [content[:place] + content[place + 1 :] for place in range(len(content))]
    damaged += [content + more for more in (b"\n", b"\0", b"{}\n", content)]
    for one in damaged:
        with pytest.raises(DamagedFileError):
            events_in(one)


def test_reordered_lines_are_refused():
    lines = file_of(long_log(4)).splitlines(keepends=True)
    for first in range(len(lines)):
        for second in range(first):
            other = lines.copy()
            other[first], other[second] = other[second], other[first]
            with pytest.raises(DamagedFileError):
                events_in(b"".join(other))
        with pytest.raises(DamagedFileError):
            events_in(b"".join(lines[:first] + lines[first + 1 :]))
        with pytest.raises(DamagedFileError):
            events_in(b"".join([*lines[:first], lines[first], *lines[first:]]))


@pytest.mark.parametrize(
    ("content", "number", "message"),
    [
        (b"", 1, "not a file written by cinelog export"),
        (b"title,genre,year\n", 1, "not a file written by cinelog export"),
        (b'{"cinelog":"events","format":3}\n', 1, "newer version of Cinelog"),
        (b'{"cinelog":"events","format":2}\n', 1, "not a file written by cinelog export"),
        (
            b'{"cinelog":"events","format":2,"log":"x","epochs":[[1,null,0]]}\n',
            1,
            "not a file written by cinelog export",
        ),
        (b'{"cinelog":"events","format":1}', 1, "not a file written by cinelog export"),
        (file_of(long_log(3))[:-1], 5, "SHA-256"),
        (b"".join(file_of(long_log(3)).splitlines(keepends=True)[:-1]), 5, "cut off"),
        (file_of(long_log(3)) + b"\n", 6, "continues"),
        (file_of(long_log(3)).replace(b'"count":3', b'"count":4'), 5, "holds 3 events"),
        (file_of(long_log(3)).replace(b'"owner":"2"', b'"owner":"5"'), 5, "SHA-256"),
        (file_of(long_log(3)).replace(b'"owner":"2"', b'"owner":"2'), 3, "not an event"),
        (with_checksum(line(1), line(1, BOB)), 3, "position 1 follows position 1"),
        (with_checksum(line(2), line(1, BOB)), 3, "position 1 follows position 2"),
        (with_checksum(line(0)), 2, "not an event"),
        (with_checksum(line(2**63)), 2, "too large"),
        (with_checksum(line(version=0)), 2, "not an event"),
        (with_checksum(line(stream="MOVIE")), 2, "not an event"),
        (with_checksum(line(kind="7")), 2, "not an event"),
        (with_checksum(line(kind=r'"a\u0000"')), 2, "cannot store"),
        (with_checksum(line(state='{},"more":{}')), 2, "not an event"),
        (with_checksum(line(state="{")), 2, "not an event"),
        (with_checksum(line().replace(b'"state"', b'"state_base64"')), 2, "not an event"),
        (with_checksum(b""), 2, "not an event"),
        (b"x" * (1 << 25), 1, "no end"),
        (gzip.compress(b"x" * (1 << 25)), 1, "no end"),
        (gzip.compress(file_of(long_log(3)))[:-1], 6, "gzip is broken"),
        (gzip.compress(file_of(long_log(3))) + b"\0", 6, "gzip is broken"),
    ],
)
def test_problem_is_reported_with_its_line(content, number, message):
    with pytest.raises(DamagedFileError, match=message) as caught:
        events_in(content)
    assert caught.value.line == number


def test_gzip_of_other_tools_is_accepted(sqlite_store):
    events = long_log(3)
    restore(sqlite_store, io.BytesIO(gzip.compress(file_of(events))), ignore_progress)
    assert events_of(sqlite_store) == events


def test_damaged_file_leaves_the_store_empty(store, store_url, tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(file_of(long_log(3)).replace(b'"owner":"2"', b'"owner":"5"'))
    as_json = ["--json"] if store_url.startswith("sqlite") else []
    done = run(tmp_path / "var", "import", "--events", file, *as_json, event_store_url=store_url)
    assert done.returncode == 1
    assert store.head() == 0
    if as_json:
        report = json.loads(done.stdout)
        assert (report["events"], report["damage"]["line"]) == (0, 5)
    else:
        assert done.stdout == ""
    assert done.stderr.startswith("line 5: the SHA-256 of the lines differs")
    assert done.stderr.count("\n") == 1


def test_conflicting_events_are_refused(store):
    """Two events of one version in a valid file: only the database detects it."""
    file = io.BytesIO(with_checksum(line(1), line(2)))
    assert check_file(file, ignore_progress) == (2, 2)
    with pytest.raises(DamagedFileError, match="same version of the same stream"):
        restore(store, file, ignore_progress)
    assert store.head() == 0


def test_file_changed_after_the_check_is_refused(store):
    """The writes already made are rolled back."""
    content = file_of(long_log(3000))
    file = io.BytesIO(content)
    check_file(file, ignore_progress)
    file.getbuffer()[content.index(b'"owner":"2999"') + 10] ^= 1
    with pytest.raises(DamagedFileError):
        restore(store, file, ignore_progress)
    assert (store.head(), store.count()) == (0, 0)


def test_import_requires_an_empty_store(store, store_url, tmp_path):
    """One line, exit 2; the stored events remain."""
    commit(store, [register(ANN)])
    before = events_of(store)
    file = tmp_path / "log.jsonl"
    file.write_bytes(file_of(long_log(3)))
    done = run(tmp_path / "var", "import", "--events", file, event_store_url=store_url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the event store is not empty" in done.stderr
    with file.open("rb") as source, pytest.raises(ConfigurationError):
        restore(store, source, ignore_progress)  # another process wrote after the first check
    assert events_of(store) == before


INTERRUPTED = """
import sys, time
from commands.event_store.store import Store
from service.transfer.event_file import read_events

def half():
    with open(sys.argv[2], "rb") as file:
        events = list(read_events(file))
    for event in events[: len(events) // 2]:
        yield [event]
    print("half", flush=True)
    time.sleep(60)

Store.open(sys.argv[1]).restore(half())
"""


def test_interrupted_import_can_be_repeated(store, store_url, tmp_path):
    """After a kill while writing, the store is empty and accepts the log."""
    events = long_log(5000)
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(file_of(events, compressed=True))
    command = [sys.executable, "-c", INTERRUPTED, store_url, file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert store.head() == 0
    done = run(tmp_path / "var", "import", "--events", file, event_store_url=store_url)
    assert done.returncode == 0, done.stderr
    assert events_of(store) == events


def test_writers_wait_for_an_import(store, store_url):
    """A concurrent append follows the restored log; readers see all of it or nothing."""
    events = long_log(3000)
    other = Store.open(store_url)
    writer = threading.Thread(target=commit, args=[other, [create(MOVIE)]])

    def batches():
        yield events[:1500]
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert other.head() == 0
        yield events[1500:]

    store.restore(batches())
    writer.join()
    assert events_of(store)[:-1] == events
    assert store.movie(MOVIE).version == 1
    assert store.head() == events[-1].position + 1
    other.close()


@contextmanager
def append_in_progress(url):
    """Append an event that others see only at the end of the context."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE cinelog_events IN EXCLUSIVE MODE")
            yield
            connection.execute("INSERT INTO cinelog_events VALUES (%s, 1, 'X', '')", (MOVIE,))
        return
    other = Store.open(url)
    with other.writer_lock():
        yield
        commit(other, [create(MOVIE)])
    other.close()


def test_import_waits_for_an_earlier_append(store, store_url):
    """The import checks for an empty store only after an append in progress has ended."""
    refused = []

    def attempt():
        try:
            store.restore([long_log(10)])
        except ConfigurationError as error:
            refused.append(error)

    thread = threading.Thread(target=attempt)
    with append_in_progress(store_url):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join()
    assert refused
    assert store.count() == 1


def test_export_is_as_of_its_start(store, tmp_path):
    """Events appended during the export are not in the file."""
    store.restore([long_log(5000)])
    before = events_of(store)
    file = tmp_path / "log.jsonl"
    report = export_events(store, file, lambda done: done <= 4000 and commit(store, [create()]))
    assert store.count() > len(before)
    assert report == (len(before), before[-1].position)
    assert events_in(file.read_bytes()) == before


def test_existing_file_is_not_overwritten(sqlite_store, tmp_path):
    commit(sqlite_store, [register(ANN)])
    file = tmp_path / "log.jsonl"
    file.write_text("mine")
    url = f"sqlite:///{tmp_path}/events.db"
    for args in (["--events", file], ["--force", tmp_path], [tmp_path / "no" / "file"]):
        done = run(tmp_path / "var", "export", *args, event_store_url=url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert file.read_text() == "mine"
    done = run(tmp_path / "var", "export", "--events", "--force", file, event_store_url=url)
    assert done.returncode == 0, done.stderr
    assert events_in(file.read_bytes()) == events_of(sqlite_store)


def test_failed_export_keeps_the_old_file(sqlite_store, tmp_path):
    commit(sqlite_store, [register(ANN)])
    file = tmp_path / "log.jsonl"
    file.write_text("old")

    def fail(_):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        export_events(sqlite_store, file, fail)
    assert file.read_text() == "old"
    assert not [*tmp_path.glob("*.part"), *tmp_path.glob(".*.part")]


MOVIES = [
    {"title": "Aliens", "genre": "Horror", "year": 1979, "creator": "ann", "version": 4},
    {"title": '„Fünf" Filme, 🎬', "genre": "a\rb", "year": 1979, "creator": "ann", "version": 1},
    {"title": "Alien", "genre": "Horror", "year": 1979, "creator": "bob", "version": 1},
]


def test_export_of_current_movies(varied_store, store_url, tmp_path):
    """No deleted movies, restored ones included, oldest first; CSV equals JSON Lines."""
    lines, table = tmp_path / "movies.jsonl", tmp_path / "movies.csv"
    done = run(tmp_path / "var", "export", lines, "--json", event_store_url=store_url)
    assert json.loads(done.stdout) == {"movies": 3, "position": varied_store.head()}
    assert export_movies(varied_store, table, ignore_progress) == (3, varied_store.head())
    movies = [json.loads(one) for one in lines.read_text().splitlines()]
    assert [{name: movie[name] for name in MOVIES[0]} for movie in movies] == MOVIES
    history = varied_store.read_stream(MOVIE)
    assert movies[0]["id"] == str(MOVIE)
    assert movies[0]["created_at"] == history[0].data["timestamp"]
    assert movies[0]["updated_at"] == history[-1].data["timestamp"]
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert rows == [{name: str(value) for name, value in movie.items()} for movie in movies]


@pytest.mark.parametrize("name", ["movies.csv", "movies.jsonl"])
def test_exported_movies_can_be_imported(varied_store, tmp_path, name):
    export_movies(varied_store, tmp_path / name, ignore_progress)
    elsewhere = Store.open(f"sqlite:///{tmp_path}/elsewhere.db")
    report = import_movies(elsewhere, read_rows(tmp_path / name), ANN)
    assert (report.added, report.refused) == (3, 0)
    titles = [event.data["title"] for event in elsewhere.read(0) if event.type == "MovieCreated"]
    assert titles == [movie["title"] for movie in MOVIES]
    elsewhere.close()


def test_movies_are_exported_as_of_one_position(store, tmp_path):
    """Streams whose events spread over several batches; events appended meanwhile are left out."""
    source = Store.open(f"sqlite:///{tmp_path}/source.db")
    movies = [new_id() for _ in range(500)]
    commit(source, [register(ANN), *(create(movie) for movie in movies)])
    rng = random.Random(7)
    for year in range(1, 6):
        commit(source, [update(movie, year=year) for movie in rng.sample(movies, 400)])
    store.restore([events_of(source)])
    expected = {str(movie): source.movie(movie) for movie in movies}
    source.close()
    commands = [delete(movies[0]), delete(movies[-1]), update(movies[-2], year=2000), create()]

    def later(_):
        commit(store, commands)

    file = tmp_path / "movies.jsonl"
    head = store.head()
    assert export_movies(store, file, later) == (500, head)
    assert store.head() > head
    found = [json.loads(one) for one in file.read_text().splitlines()]
    assert [movie["id"] for movie in found] == sorted(expected)
    for movie in found:
        was = expected[movie["id"]]
        assert (movie["year"], movie["version"]) == (was.details.year, was.version)


@pytest.mark.parametrize(
    "args", [["movies.csv"], ["--events", "log.jsonl", "--as", "ann"], ["--events", "missing"]]
)
def test_wrong_use_of_import_is_one_line(tmp_path, args):
    done = run(tmp_path / "var", "import", *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
