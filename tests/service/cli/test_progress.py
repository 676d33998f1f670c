"""Long work shows the steps done, their rate and the time left."""

import io

from rich.console import Console

from service.cli.progress import Progress


def progress_output(steps, *, terminal):
    """The output for 100 steps: ``steps`` maps seconds to the steps done by then."""
    now = [0]
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=100)
    with Progress(console, "rebuild", 100, clock=lambda: now[0]) as progress:
        for now[0], done in steps.items():
            progress.reach(done)
    return console.file.getvalue()


def test_a_terminal_shows_a_bar():
    last = progress_output({10: 20, 20: 40, 30: 60}, terminal=True).split("rebuild ")[-1]
    assert last.split()[1:4] == ["60/100", "2/s", "0:00:20"]


def test_other_output_gets_at_most_one_line_in_two_seconds():
    assert progress_output({2: 20, 3: 30, 4: 60, 6: 90}, terminal=False).splitlines() == [
        "rebuild: 20 of 100 (10/s, 8 s left)",
        "rebuild: 60 of 100 (15/s, 3 s left)",
        "rebuild: 90 of 100 (15/s, 1 s left)",
    ]
