"""``cinelog import``: a bad row is refused with its line, the rest goes in, once."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from controls import register
from running import COMMAND, environment, run

from commands.group_commit import commit
from commands.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples" / "movies.csv"


@pytest.fixture
def data(tmp_path):
    """A data directory with the account ann."""
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{folder}/events.db")
    commit(store, [register(username="ann")])
    store.close()
    return folder


def import_file(data, content, name="movies.csv", *args):
    file = data.parent / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return run(data, "import", file, "--as", "ann", *args)


def titles(data):
    store = Store.open(f"sqlite:///{data}/events.db")
    found = [
        event.data["title"] for event in store.read(0, 100_000) if event.type == "MovieCreated"
    ]
    store.close()
    return found


def test_real_movies_go_in_once(data):
    """The 3,200 real movies; the same file again adds nothing."""
    for expected in ({"added": 3200, "already": 0}, {"added": 0, "already": 3200}):
        done = run(data, "import", EXAMPLES, "--as", "ANN", "--json")
        report = json.loads(done.stdout)
        assert (done.returncode, report | expected) == (0, report)
        assert report["refused"] == 0
    assert len(titles(data)) == 3200


def test_equal_rows_are_different_movies(data):
    """A file that names a movie twice means two; both are there after a second import."""
    twice = "title,genre,year\nAlien,Horror,1979\nAlien,Horror,1979\n"
    for _ in range(2):
        assert import_file(data, twice).returncode == 0
    assert titles(data) == ["Alien", "Alien"]


def test_bad_rows_are_refused_with_line_and_reason(data):
    content = (
        b"\xef\xbb\xbfYear,title,GENRE,studio\n"
        b'1979,"Alien,\nthe first",Horror,Fox\n'  # two lines
        b"soon,Aliens,Action,Fox\n"
        b"1992,,Drama,Fox\n"
        b"1997,\xff\xfe,Drama,Fox\n"
        b"1997,a,b,c,d\n"
        b"1997\n"
        b"\n"
        b"1997,Alien 4,Action,Fox\n"
    )
    done = import_file(data, content)
    assert done.returncode == 1
    assert titles(data) == ["Alien,\nthe first", "Alien 4"]
    assert [line for line in done.stderr.splitlines() if line.startswith("line ")] == [
        "line 4: year: A valid integer is required.",
        "line 5: title: This field may not be blank.",
        "line 6: row: not UTF-8",
        "line 7: row: 5 fields where the header has 4",
        "line 8: title: This field is required.; genre: This field is required.",
    ]
    assert "2 added, 0 already there, 5 refused" in done.stdout


def test_json_lines(data):
    content = '{"title": "Alien", "genre": "Horror", "year": "1979"}\n[1]\n{"title"\n\n'
    done = import_file(data, content, "movies.jsonl", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["added"], report["refused"]) == (1, 2)
    assert done.stderr.splitlines() == [
        "line 2: row: not a JSON object",
        "line 3: row: not JSON",
    ]


def test_a_reason_is_kept_in_every_event(data):
    import_file(data, "title,genre,year\nAlien,Horror,1979\n", "a.csv", "--reason", "from tape")
    store = Store.open(f"sqlite:///{data}/events.db")
    (reason,) = {e.data.get("reason") for e in store.read(0) if e.type == "MovieCreated"}
    store.close()
    assert reason == "from tape"
    done = import_file(data, "title,genre,year\n", "b.csv", "--reason", "x" * 201)
    assert (done.returncode, "--reason" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["missing.csv", "--as", "ann"], "missing.csv: No such file or directory"),
        ([EXAMPLES, "--as", "nobody"], "no account is called 'nobody'; register it first"),
    ],
)
def test_wrong_use_is_one_line(data, args, said):
    done = run(data, "import", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_without_the_columns(data):
    done = import_file(data, "name,genre\nAlien,Horror\n")
    assert done.returncode == 1
    assert "line 1: row: the header lacks title, year" in done.stderr


def test_an_interrupted_import_can_be_run_again(data):
    """Killed in the middle, run again: every movie once."""
    args = [COMMAND, "import", EXAMPLES, "--as", "ann"]
    process = subprocess.Popen(args, env=environment(data), stderr=subprocess.DEVNULL)
    store = Store.open(f"sqlite:///{data}/events.db")
    while store.head() < 600 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert 600 <= store.head() < 6400
    store.close()
    done = run(data, "import", EXAMPLES, "--as", "ann", "--json")
    report = json.loads(done.stdout)
    assert report["added"] > 0
    assert report["already"] > 0
    assert len(titles(data)) == 3200
