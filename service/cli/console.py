"""The terminal: results on standard output, problems on standard error, nothing it could obey."""

import codecs
import os
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import orjson
import structlog
import typer
from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from commands.errors import CinelogError, ConfigurationError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
# Control characters (C0, C1), bidirectional controls, Unicode line separators, lone surrogates.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return ``text`` with each character that a terminal could obey as a JSON escape."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class SafeConsole(Console):
    """A console that escapes unsafe characters in all it prints."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which ``main`` handles, instead of exiting here."""
        raise BrokenPipeError

    def print(self, *objects: Any, **kwargs: Any) -> None:
        """Print, escaping text before rich lays it out."""
        super().print(*(printable(o) if isinstance(o, str) else o for o in objects), **kwargs)

    def print_line(self, text: str) -> None:
        """Print text as it is: one line, no markup, no wrapping."""
        self.print(text, markup=False, soft_wrap=True)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, escaping the cells of tables too."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


# A pipe has no width: tables written to one are not folded to 80 columns.
out = SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 200)
err = SafeConsole(stderr=True, highlight=False)


class _Errors:
    """How this process reports errors: as log lines in a service, else as text."""

    as_log_lines = False


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as ``1 movie`` or ``2,000 movies``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(printable(orjson.dumps(value).decode()))  # noqa: T201 - the output of the command


def print_json_array(values: Iterable[Any]) -> None:
    """Print values as one JSON array, each as it comes and on a line of its own."""
    mark = "["
    for value in values:
        print(mark)  # noqa: T201 - the output of the command
        print(printable(orjson.dumps(value).decode()), end="")  # noqa: T201
        mark = ","
    print("[]" if mark == "[" else "\n]")  # noqa: T201


def print_result(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result: ``value`` as JSON, or ``lines`` as text."""
    if as_json:
        print_json(value)
        return
    for line in lines:
        out.print_line(line)


def report(problem: CinelogError | str, level: str = "error") -> None:
    """Report a problem in one line on standard error."""
    if not _Errors.as_log_lines:
        err.print_line(f"cinelog: {problem}")
        return
    variable = {"variable": problem.variable} if isinstance(problem, ConfigurationError) else {}
    getattr(structlog.get_logger("cinelog"), level)(str(problem), **variable)


def usage_error(message: str) -> NoReturn:
    """Report wrong use of a command and exit with 2."""
    report(message)
    raise typer.Exit(2)


def report_in_log_lines() -> None:
    """Report problems as JSON log lines from now on, unless standard error is a terminal."""
    from service.observability.logs import STANDARD_ERROR, configure_logs, is_text, log_crashes

    if not is_text(os.environ.get("CINELOG_LOG_FORMAT") or "auto", STANDARD_ERROR):
        configure_logs("json")
        _Errors.as_log_lines = True
        log_crashes()


def escape_unencodable() -> None:
    """Write characters that the encoding of the output lacks as JSON escapes."""
    codecs.register_error("cinelog", _json_escapes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="cinelog")


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end
