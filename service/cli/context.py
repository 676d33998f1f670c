"""What the commands stand on: how they say things, the settings, the event store and Redis."""

import codecs
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import structlog
import typer
from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from commands.errors import CinelogError, ConfigurationError, ReadModelUnavailableError
from service.cli.printable import printable
from service.settings import Settings, unknown_variables

if TYPE_CHECKING:
    from commands.event_store.store import Store


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to ``cli.main``: whoever reads has seen enough, as with ``| head``."""
        raise BrokenPipeError

    def print(self, *objects: Any, **kwargs: Any) -> None:
        """Print, with text escaped before it is laid out."""
        super().print(*(printable(o) if isinstance(o, str) else o for o in objects), **kwargs)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, and escape what a terminal could take as an order."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


# A pipe has no width: tables in it are not folded to that of a terminal.
out = _Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = _Console(stderr=True, highlight=False)
_narrowed: list[Path] = []
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


class _Speech:
    """Whether this process speaks in log lines: a service whose output is no terminal does."""

    in_logs = False


def complain(error: CinelogError | str, level: str = "error") -> None:
    """Say in one line on standard error what is wrong."""
    if not _Speech.in_logs:
        err.print(f"cinelog: {error}", markup=False, soft_wrap=True)
        return

    facts = {"variable": error.variable} if isinstance(error, ConfigurationError) else {}
    getattr(structlog.get_logger("cinelog"), level)(str(error), **facts)


def speak_as_a_service() -> None:
    """Let every line be a log line from now on, but on a terminal."""
    from service.observability.logs import STANDARD_ERROR, configure_logs, is_text, log_crashes  # noqa: PLC0415

    if not is_text(os.environ.get("CINELOG_LOG_FORMAT") or "auto", STANDARD_ERROR):
        configure_logs("json")
        _Speech.in_logs = True
        log_crashes()


def escape_output() -> None:
    """Escape what the encoding of the output lacks, in a form that JSON has, too."""
    codecs.register_error("cinelog", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="cinelog")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def usage_error(message: str) -> NoReturn:
    """Say what is wrong with the call, and end with 2."""
    complain(message)
    raise typer.Exit(2)


def prepared(**over: object) -> Settings:
    """Return the settings for a command that makes nothing; the data directory can be used."""
    from service.data_dir import check_data_dir  # noqa: PLC0415 - commands start fast one by one
    from service.observability.logs import configure_logs  # noqa: PLC0415

    settings = Settings.load(**over)
    configure_logs(settings.log_format, settings.log_level)
    for problem in unknown_variables():
        complain(problem, "warning")
    if check_data_dir(settings.data_dir):
        _narrowed.append(settings.data_dir)
    return settings


def prepared_to_make(**over: object) -> Settings:
    """Return the settings; the directory of data is there then."""
    from service.data_dir import prepare_data_dir  # noqa: PLC0415

    settings = prepared(**over)
    if prepare_data_dir(settings.data_dir):
        _narrowed.append(settings.data_dir)
    return settings


def tell_narrowed() -> None:
    """Say that other users could read the data directory; called where nothing else is wrong."""
    while _narrowed:
        path = _narrowed.pop()
        complain(f"other users could read {path}; its modes were narrowed", "warning")


@contextmanager
def open_store(settings: Settings, *, create: bool = False) -> "Iterator[Store]":
    """Open the event store; ``create`` makes what is missing of it.

    Raises ConfigurationError where there is none to open.
    """
    from commands.event_store.store import Store  # noqa: PLC0415
    from service.data_dir import STORE_DAMAGED  # noqa: PLC0415

    store = Store.open(settings.event_store_url, create=create)
    store.damage.use_marker(settings.data_dir / STORE_DAMAGED)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def hold_redis(settings: Settings) -> Iterator[None]:
    """Hold on to the embedded Redis where none is configured."""
    from service.embedded_redis.client import EmbeddedRedis  # noqa: PLC0415

    if settings.redis_url:
        yield
        return
    if not settings.data_dir.exists():
        raise ConfigurationError(
            "CINELOG_DATA_DIR", f"there is no read model: {settings.data_dir} does not exist"
        )
    with EmbeddedRedis.join(settings.data_dir):
        yield


@contextmanager
def open_both() -> "Iterator[tuple[Settings, Store, Any]]":
    """Open the event store and Redis; a Redis that goes away is one line."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    from projections.redis_client import open_redis, why_not  # noqa: PLC0415

    settings = prepared()
    with open_store(settings) as store, hold_redis(settings):
        redis = open_redis(settings.redis_url_or_embedded)
        try:
            yield settings, store, redis
        except RedisError as error:
            raise ReadModelUnavailableError(f"Redis {why_not(error)}") from error
        finally:
            redis.close()
