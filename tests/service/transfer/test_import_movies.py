"""``cinelog import``: an invalid row is refused with its line; the others are imported once."""

import csv
import gzip
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import register
from tests.running import COMMAND, environment, eventually, run

EXAMPLES = Path(__file__).parents[3] / "examples" / "movies.csv"


@pytest.fixture
def data_dir(tmp_path):
    """A data directory with the account ann."""
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{folder}/events.db")
    commit(store, [register(username="ann")])
    store.close()
    return folder


def import_file(data_dir, content, name="movies.csv", *args):
    file = data_dir.parent / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return run(data_dir, "import", file, "--as", "ann", *args)


def titles(data_dir):
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    found = [
        event.data["title"] for event in store.read(0, 100_000) if event.type == "MovieCreated"
    ]
    store.close()
    return found


def test_real_movies_are_imported_once(data_dir):
    """Importing 3,200 movies again adds nothing."""
    for expected in ({"added": 3200, "already": 0}, {"added": 0, "already": 3200}):
        done = run(data_dir, "import", EXAMPLES, "--as", "ANN", "--json")
        report = json.loads(done.stdout)
        assert (done.returncode, report | expected) == (0, report)
        assert report["refused"] == 0
    assert len(titles(data_dir)) == 3200


def test_equal_rows_are_different_movies(data_dir):
    """Two equal rows are two movies, also after a second import."""
    twice = "title,genre,year\nAlien,Horror,1979\nAlien,Horror,1979\n"
    for _ in range(2):
        assert import_file(data_dir, twice).returncode == 0
    assert titles(data_dir) == ["Alien", "Alien"]


def test_bad_rows_are_refused_with_line_and_reason(data_dir):
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
    done = import_file(data_dir, content)
    assert done.returncode == 1
    assert titles(data_dir) == ["Alien,\nthe first", "Alien 4"]
    assert [line for line in done.stderr.splitlines() if line.startswith("line ")] == [
        "line 4: year: A valid integer is required.",
        "line 5: title: This field may not be blank.",
        "line 6: row: not UTF-8",
        "line 7: row: 5 fields where the header has 4",
        "line 8: title: This field is required.; genre: This field is required.",
    ]
    assert "2 added, 0 already there, 5 refused" in done.stdout


def test_json_lines_are_imported(data_dir):
    content = '{"title": "Alien", "genre": "Horror", "year": "1979"}\n[1]\n{"title"\n\n'
    done = import_file(data_dir, content, "movies.jsonl", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["added"], report["refused"]) == (1, 2)
    assert done.stderr.splitlines() == [
        "line 2: row: not a JSON object",
        "line 3: row: not JSON",
    ]


def test_reason_is_recorded_in_every_event(data_dir):
    import_file(data_dir, "title,genre,year\nAlien,Horror,1979\n", "a.csv", "--reason", "from tape")
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    (reason,) = {e.data.get("reason") for e in store.read(0) if e.type == "MovieCreated"}
    store.close()
    assert reason == "from tape"
    done = import_file(data_dir, "title,genre,year\n", "b.csv", "--reason", "x" * 201)
    assert (done.returncode, "--reason" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.csv", "--as", "ann"], "missing.csv: No such file or directory"),
        ([EXAMPLES, "--as", "nobody"], "there is no account 'nobody'; register it first"),
    ],
)
def test_wrong_use_is_one_line(data_dir, args, message):
    done = run(data_dir, "import", *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_missing_columns_are_reported(data_dir):
    done = import_file(data_dir, "name,genre\nAlien,Horror\n")
    assert done.returncode == 1
    assert "line 1: row: the header lacks title, year" in done.stderr


def test_interrupted_import_can_be_repeated(data_dir):
    """After a kill and a second run, every movie is imported once."""
    args = [COMMAND, "import", EXAMPLES, "--as", "ann"]
    process = subprocess.Popen(args, env=environment(data_dir), stderr=subprocess.DEVNULL)
    store = Store.open(f"sqlite:///{data_dir}/events.db")
    while store.head() < 600 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert 600 <= store.head() < 6400
    store.close()
    done = run(data_dir, "import", EXAMPLES, "--as", "ann", "--json")
    report = json.loads(done.stdout)
    assert report["added"] > 0
    assert report["already"] > 0
    assert len(titles(data_dir)) == 3200


def piped(data_dir, file, content):
    args = [COMMAND, "import", file, "--as", "ann", "--json"]
    env = environment(data_dir)
    return subprocess.run(
        args, input=content, env=env, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("file", ["-", "/dev/stdin"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_imported(data_dir, file, pack):
    done = piped(data_dir, file, pack(EXAMPLES.read_bytes()))
    assert (done.returncode, json.loads(done.stdout)["added"]) == (0, 3200)


def test_process_substitution_is_imported(data_dir):
    line = f"{COMMAND} import <(cat {EXAMPLES}) --as ann --json"
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment(data_dir),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["added"] == 3200


@pytest.mark.parametrize(
    "content", ["", "\ufeff", " \n", "title,genre,year", "title,genre,year\n,,\n", "[]"]
)
def test_input_without_rows_is_valid(data_dir, content):
    """Nothing is refused."""
    done = import_file(data_dir, content, "movies.csv", "--json")
    assert (done.returncode, done.stderr.count("it has no rows")) == (0, 1)
    assert json.loads(done.stdout) | {"added": 0, "refused": 0} == json.loads(done.stdout)


def test_unreadable_input_is_one_line(data_dir):
    done = import_file(data_dir, b"PK\x03\x04...", "movies.xlsx")
    assert (done.returncode, done.stdout.strip()) == (1, "0 added, 0 already there, 0 refused")
    (line,) = done.stderr.splitlines()
    assert line.endswith("movies.xlsx: this is a zip archive; unpack it and import the file inside")


def test_damaged_gzip_counts_imported_rows(data_dir):
    whole = gzip.compress(EXAMPLES.read_bytes())
    done = import_file(data_dir, whole[: len(whole) // 2], "movies.csv.gz", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["added"] == len(titles(data_dir)) > 0
    assert "cut off" in report["damage"]["reason"]
    again = json.loads(import_file(data_dir, whole, "movies.csv.gz", "--json").stdout)
    assert (again["already"], again["added"]) == (report["added"], 3200 - report["added"])


def test_other_encoding_gets_advice(data_dir):
    done = import_file(data_dir, "title,genre,year\nAmélie,Romance,2001\n".encode("latin-1"))
    assert done.returncode == 1
    assert "iconv -f WINDOWS-1252" in done.stderr


def test_interrupted_import_reports_its_counts(data_dir):
    args = [COMMAND, "import", "-", "--as", "ann"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(args, env=environment(data_dir), **pipes) as process:
        process.stdin.write(EXAMPLES.read_bytes()[:60_000])
        process.stdin.flush()
        eventually(lambda: titles(data_dir))
        process.send_signal(signal.SIGINT)
        message = process.stderr.read().decode()
        process.stdin.close()
    assert process.returncode == 130
    assert "Traceback" not in message
    assert "run it again to add the rest" in message


def test_formula_cells_are_guarded(data_dir, tmp_path):
    """An export to CSV guards the cells; an import of it restores them."""
    odd = ["=1+1", "'=1+1", "+1", "-30-", "@Home", "\uff1d1", "'plain", "''-"]
    table = "title,genre,year\n" + "".join(f"{title},@g,1990\n" for title in odd)
    assert import_file(data_dir, table).returncode == 0
    assert titles(data_dir) == odd
    out = tmp_path / "out.csv"
    assert run(data_dir, "export", out).returncode == 0
    with out.open(newline="") as file:
        cells = [row["title"] for row in csv.DictReader(file)]
    assert cells[:3] == ["'=1+1", "''=1+1", "'+1"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert json.loads(run(data_dir, "import", out, "--as", "ann", "--json").stdout)[
        "already"
    ] == len(odd)
