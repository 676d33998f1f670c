"""The harness of the benchmarks: what it reads, asks and writes."""

import random
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.contest import __main__ as contest
from benchmarks.contest import faces, load, report
from benchmarks.contest.contender import CONTENDERS, Contender
from benchmarks.contest.rows import write_rows

OUTPUT = """
Running 2s test @ http://127.0.0.1:8000
  Latency Distribution
     50%    1.20ms
     75%    2.50ms
     90%  800.00us
     99%    1.10s
  4000 requests in 2.00s, 1.00MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 5
Requests/sec:   2000.50
"""


def test_the_output_of_wrk_is_read():
    assert load.parse(OUTPUT) == load.Result(2000.5, 1.2, 1100, 8)


def test_the_rows_are_the_same_each_time(tmp_path):
    titles = write_rows(tmp_path / "a", 50)
    assert write_rows(tmp_path / "b", 50) == titles
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert all(0 < len(title) <= 100 for title in titles)


@pytest.mark.parametrize("face", faces.FACES.values(), ids=faces.FACES)
def test_the_requests_of_a_face(face):
    assert face.list() == faces.PocketBase().list() or face.list() == face.movies
    path = face.list(3, title="man", years=(1990, 1999), ordering="title")
    for part in ("3", "man", "1990", "1999", "title"):
        assert part in path


def test_three_letters_of_titles():
    found = faces.parts(["The Man", "É", "9 1/2"], random.Random(1), 10)
    assert set(found) == {"the", "man"}


@pytest.mark.parametrize("folder", sorted(CONTENDERS.iterdir()), ids=lambda path: path.name)
def test_a_contender_is_described(folder, tmp_path):
    contender = Contender(folder.name, tmp_path)
    assert set(contender.kinds) <= set(faces.KINDS)
    assert contender.title
    assert contender.serve


def results_of(*rates):
    return [load.Result(rate, 1.0, 2.0, 0) for rate in rates]


def test_the_report_has_medians_and_what_was_not_measured():
    results = {3200: {16: {"first page": {"A": results_of(10, 30, 20), "B": results_of(40)}}}}
    facts = {
        "machine": "m",
        "command": "c",
        "about": "a",
        "versions": {"A": "1", "B": "2"},
        "absent": {"C": "no compiler"},
        "servers": {3200: {"A": (1.0, 2.0, 30.0)}},
        "differences": ["3,200 movies: 1: A; 2: B"],
    }
    text = report.markdown(results, facts)
    assert "| A | 20 (10 to 30) | 1.00 | 2.0 | 0 |" in text
    assert text.index("| B | 40 |") < text.index("| A | 20")
    assert "| C | not measured: no compiler |" in text
    assert "## Counts that differ" in text


def test_bars_are_valid_svg():
    drawn = report.svg("a < b", {"us & them": 10.0, "you": 5.0}, ours=["you"])
    root = ET.fromstring(drawn)
    bars = [float(one.get("width")) for one in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars[0] == pytest.approx(2 * bars[1], rel=0.01)


@pytest.mark.slow
def test_a_contest_of_one(tmp_path, monkeypatch):
    """The bare server is installed, loaded, served and measured."""
    if not any(Path(folder, "wrk").exists() for folder in ("/usr/bin", "/usr/local/bin")):
        pytest.skip("wrk is not installed")
    monkeypatch.setattr(contest, "WORK", tmp_path / "work")
    words = "contest --contenders sanic_bare --sizes 300 --kinds create --connections 2"
    words += f" --rounds 1 --seconds 1 --output {tmp_path}"
    monkeypatch.setattr(sys, "argv", words.split())
    contest.main()
    text = (tmp_path / "RESULTS.md").read_text()
    assert "### create, 2 connections" in text
    assert "not measured" not in text
    assert (tmp_path / "results-create-300.svg").exists()
