"""Progress of long commands: a bar on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

EVERY_S = 2.0


class _Rate(ProgressColumn):
    """Recent steps per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


class Progress:
    """Shows how many steps are done, of ``total`` unless that is None."""

    def __init__(
        self,
        console: Console,
        what: str,
        total: int | None,
        *,
        unit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._what = what
        self._unit = f" {unit}" if unit else ""
        self._total = total
        self._clock = clock
        self._started = self._printed = clock()
        count = DownloadColumn(binary_units=True) if unit == "bytes" else MofNCompleteColumn()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            count,
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            get_time=clock,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar."""
        self._bar.stop()

    def reach(self, done: int) -> None:
        """Show that ``done`` steps are done."""
        self._bar.update(self._task, completed=done)
        now = self._clock()
        if self._console.is_terminal or now - self._printed < EVERY_S:
            return
        self._printed = now
        rate = done / (now - self._started)
        of = left = ""
        if self._total is not None:
            of = f" of {self._total:,}"
            left = f", {max(0, self._total - done) / rate:,.0f} s left" if rate else ""
        self._console.print(
            f"{self._what}: {done:,}{of}{self._unit} ({rate:,.0f}/s{left})", soft_wrap=True
        )


@contextmanager
def phases(console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield ``advance(what, done, total)``, which shows a new bar for each ``what``."""
    with ExitStack() as stack:
        bars: dict[str, Progress] = {}

        def advance(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                stack.close()
                bars[what] = stack.enter_context(Progress(console, what, total))
            bars[what].reach(done)

        yield advance
