"""A whole run of the harness, over contenders that are as small as can be."""

import argparse
import json
import shutil

import pytest

from benchmarks.contest import __main__ as contest
from benchmarks.contest import contender

SERVER = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

rows = [json.loads(line) for line in open(os.environ["ROWS"])]

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        text, years = query.get("title", ""), (query.get("year__gte"), query.get("year__lte"))
        found = [
            n for n, row in enumerate(rows)
            if SAME(text, row["title"])
            and (not years[0] or int(years[0]) <= row["year"] <= int(years[1]))
        ]
        start = (int(query.get("page", 1)) - 1) * int(query.get("page_size", 10))
        some = [{"id": n} for n in found[start : start + int(query.get("page_size", 10))]]
        self.answer(200, {"count": len(found), "results": some})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(500, {})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FACTS = """
title = "{name}"
load = "true"
serve = "$PYTHON server.py"
versions = "echo {name} 1.0"
setup = ["{setup}"]
"""


# wrk belongs to the system, and `.ci/run` installs it; without it there is nothing that asks.
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_a_run_reports_rates_errors_differences_and_what_failed(tmp_path, monkeypatch):
    folders = {
        "exact": ("text.lower() in title.lower()", "true"),
        "by case": ("text in title", "true"),
        "absent": ("True", "echo no such package >&2; false"),
    }
    for name, (same, setup) in folders.items():
        folder = tmp_path / "contenders" / name
        folder.mkdir(parents=True)
        (folder / "contender.toml").write_text(FACTS.format(name=name, setup=setup))
        source = f"SAME = lambda text, title: {same}\n" + SERVER
        (folder / "server.py").write_text(source)
    for module in (contender, contest):
        monkeypatch.setattr(module, "CONTENDERS", tmp_path / "contenders")
    monkeypatch.setattr(contest, "WORK", tmp_path / "work")
    monkeypatch.setattr(contest, "OURS", ("exact",))
    options = argparse.Namespace(
        sizes=[300],
        contenders=list(folders),
        kinds=["first page", "filter at random", "create", "cursor"],
        connections=[2],
        rounds=2,
        seconds=1,
        output=tmp_path / "output",
    )
    contest.Contest(options).run()

    raw = json.loads((tmp_path / "work" / "results.json").read_text())
    assert set(raw) == {"300/2/first page", "300/2/filter at random", "300/2/create"}
    for kind, titles in raw.items():
        assert set(titles) == {"exact", "by case"}
        for rounds in titles.values():
            assert len(rounds) == 2
            assert all(one["rate"] > 0 for one in rounds)
            assert all((one["errors"] > 0) == kind.endswith("create") for one in rounds)
    text = (tmp_path / "output" / "RESULTS.md").read_text()
    assert "| absent | not measured:" in text
    assert "no such package" in text
    assert "## Counts that differ" in text
    assert (tmp_path / "output" / "results-first-page-300.svg").exists()
