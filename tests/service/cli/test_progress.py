"""Long work shows how far it is, how fast it goes and how long it will take."""

import io
import time

import pytest
from rich.console import Console

from service.cli import progress
from service.cli.progress import Progress


def shown(monkeypatch, *, terminal):
    """What is printed while 100 steps are done in three stretches."""
    monkeypatch.setattr(progress, "EVERY_S", 0)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with Progress(console, "rebuild", 100) as bar:
        for done in (20, 60, 80):
            time.sleep(0.15)
            bar.reach(done)
        time.sleep(0.15)
    return console.file.getvalue()


@pytest.mark.slow
def test_a_bar_on_a_terminal(monkeypatch):
    said = shown(monkeypatch, terminal=True)
    assert "rebuild" in said
    assert "80/100" in said
    assert "/s" in said
    assert "0:00:0" in said


@pytest.mark.slow
def test_plain_lines_elsewhere(monkeypatch):
    said = shown(monkeypatch, terminal=False)
    first, *_, last = said.splitlines()
    assert first.startswith("rebuild: 20 of 100 (")
    assert last.startswith("rebuild: 80 of 100 (")
    assert last.endswith(" s left)")
    assert "\x1b" not in said
