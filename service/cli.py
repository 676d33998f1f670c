"""The command line: ``cinelog``. Exit 0 done, 1 the answer is no, 2 wrong use or configuration."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from commands.errors import CinelogError, DamagedError, NotFoundError
from commands.messages import reason_of
from commands.movie import Movie
from commands.store import Store
from service.cli_keys import keys
from service.settings import Settings

app = typer.Typer(
    name="cinelog",
    help="Cinelog: an event-sourced movies API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys)
# A pipe has no width: tables in it are not folded to that of a terminal.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def main() -> NoReturn:
    """Run ``cinelog``; whatever goes wrong is said in one line."""
    try:
        app(standalone_mode=True)
    except CinelogError as error:
        err.print(f"cinelog: {error}", markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    sys.exit(0)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="API processes.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Fill an empty store with real movies.")
    ] = False,
) -> None:
    """Serve the API, the projection and, where none is configured, a Redis."""
    from service.keys import load_keys  # noqa: PLC0415 - commands start fast one by one
    from service.sample import add_sample  # noqa: PLC0415
    from service.supervisor import serve as supervise  # noqa: PLC0415

    settings = _prepared(host=host, port=port, workers=workers)
    load_keys(settings.signing_keys)  # made, or refused, once and before any process starts
    before = (lambda: add_sample(settings, out)) if sample else None
    raise typer.Exit(supervise(settings, before))


@app.command()
def project() -> None:
    """Run a projection worker alone; one is active, others stand by."""
    from service.projection import run_alone  # noqa: PLC0415

    run_alone(_prepared())


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON Lines.")],
    as_: Annotated[
        str | None, typer.Option("--as", help="Username of the movies' creator.")
    ] = None,
    events: Annotated[
        bool,
        typer.Option("--events", help="Restore a log from a file of export --events instead."),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in every event.")] = "",
    json: Json = False,
) -> None:
    """Import movies from a file. A second import of the same rows adds nothing.

    With --events: a whole log into an empty event store; of a damaged file, nothing.
    """
    if events:
        if as_ is not None or reason:
            _wrong_use("--events brings accounts and reasons along; leave out --as and --reason")
        _import_events(file, json=json)
        return
    why = reason_of(reason, "--reason")
    if as_ is None:
        _wrong_use("whose movies are they? name an account: --as USERNAME")
    from service.importing import (  # noqa: PLC0415
        Refused,
        Report,
        count_lines,
        import_movies,
        read_rows,
    )
    from service.progress import Progress  # noqa: PLC0415
    from service.wake import waker  # noqa: PLC0415

    settings = _prepared()
    try:
        total = count_lines(file)
        rows = read_rows(file)
    except OSError as error:
        _wrong_use(f"{file}: {error.strerror}")
    with _store(settings) as store, waker(settings) as wake:
        account = store.account_id_of(as_)
        if account is None:
            _wrong_use(f"no account is called {as_!r}; register it first")
        with Progress(err, "import", total) as progress:

            def advance(now: Report) -> None:
                progress.reach(now.line)
                wake(now.position)

            def refuse(row: Refused) -> None:
                err.print(f"line {row.line}: {row.reason}", markup=False, soft_wrap=True)

            report = import_movies(store, rows, account, advance=advance, refuse=refuse, reason=why)
    if json:
        print(orjson.dumps(report._asdict()).decode())  # noqa: T201
    else:
        out.print(
            f"{report.added:,} added, {report.already:,} already there, {report.refused:,} refused"
        )
    raise typer.Exit(1 if report.refused else 0)


@app.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Write the whole log, password hashes included: keep the file (mode 0600) safe.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
) -> None:
    """Write the movies as they are now to a file: CSV where its name ends in .csv, else JSON Lines.

    With --events: the whole log, for import --events; in gzip where the name ends in .gz.
    """
    from service.export import export_events, export_movies  # noqa: PLC0415
    from service.progress import Progress  # noqa: PLC0415

    settings = _prepared()
    with _store(settings) as store:
        try:
            if file.exists() and not (file.is_file() and force):
                hint = "; --force replaces it" if file.is_file() else " and is no plain file"
                _wrong_use(f"{file} is there already{hint}")
            with Progress(err, "export", store.count()) as progress:
                export = export_events if events else export_movies
                report = export(store, file, progress.reach)
        except OSError as error:
            _wrong_use(f"{file}: {error.strerror or error}")
    if json:
        print(orjson.dumps(report._asdict()).decode())  # noqa: T201
        return
    count, what = report[0], report._fields[0]
    out.print(
        f"{count:,} {what} up to position {report.position:,} written to {file}",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def status(json: Json = False) -> None:
    """Tell how far the log is and how far the read model shows it."""
    from service.state import state_of  # noqa: PLC0415

    settings = _prepared()
    with _store(settings) as store, _redis(settings):
        state = state_of(settings, store)
    whole = state["read_model"]["state"] != "unavailable"
    if json:
        print(orjson.dumps(state).decode())  # noqa: T201
        raise typer.Exit(0 if whole else 1)
    table = Table(box=None, show_header=False)
    for part, facts in state.items():
        for name, value in facts.items():
            table.add_row(part.replace("_", " "), name.replace("_", " "), _shown(value))
            part = ""  # noqa: PLW2901 - named once a block
    out.print(table)
    raise typer.Exit(0 if whole else 1)


@app.command()
def history(
    movie_id: Annotated[str, typer.Argument(help="Id of a movie, deleted ones included.")],
    json: Json = False,
) -> None:
    """Show what happened to a movie."""
    from queries.history import entries  # noqa: PLC0415

    settings = _prepared()
    with _store(settings) as store:
        try:
            wanted = UUID(movie_id)
        except ValueError:
            _wrong_use("a movie id looks like 01890a5d-ac96-774b-bcce-b302099a8057")
        if store.find(Movie, wanted) is None:
            raise NotFoundError
        name_of = lru_cache(store.name_of)
        rows = [row.shown(name_of) for row in entries(store.read_stream(wanted))]
    if json:
        for row in rows:
            print(orjson.dumps(row).decode())  # noqa: T201
        return
    table = Table("version", "at", "by", "what", "changes", "reason", "request")
    for row in rows:
        changes = (f"{name}: {c['from']!r} → {c['to']!r}" for name, c in row["changes"].items())
        cells = (row["at"], row["actor"]["username"], row["type"], "\n".join(changes))
        more = (row["reason"] or "", row["request_id"])
        table.add_row(str(row["version"]), *map(escape, (*cells, *more)))
    out.print(table)


def _import_events(file: Path, *, json: bool) -> None:
    from service.event_file import Summary  # noqa: PLC0415
    from service.progress import Progress  # noqa: PLC0415
    from service.restore import check, restore  # noqa: PLC0415
    from service.wake import waker  # noqa: PLC0415

    settings = _prepared()
    found, damage = Summary(0, 0), None
    with _store(settings) as store, waker(settings) as wake:
        store.check_empty()
        try:
            with file.open("rb") as source:
                with Progress(err, "check, bytes", file.stat().st_size) as progress:
                    checked = check(source, progress.reach)
                with Progress(err, "import", checked.events) as progress:
                    restore(store, source, progress.reach)
        except OSError as error:
            _wrong_use(f"{file}: {error.strerror or error}")
        except DamagedError as error:
            damage = {"line": error.line, "reason": error.reason}
            where = f"line {error.line}: " if error.line else ""
            said = f"{where}{error.reason}; nothing was imported"
            err.print(said, markup=False, soft_wrap=True)
        else:
            found = checked
            wake(found.position)
    if json:
        print(orjson.dumps(found._asdict() | {"damage": damage}).decode())  # noqa: T201
    elif damage is None:
        out.print(f"{found.events:,} events imported, up to position {found.position:,}")
    raise typer.Exit(1 if damage else 0)


def _prepared(**over: object) -> Settings:
    from service.data_dir import prepare_data_dir  # noqa: PLC0415
    from service.logs import configure_logs  # noqa: PLC0415

    configure_logs()
    settings = Settings.load(**over)
    prepare_data_dir(settings.data_dir)
    return settings


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    store = Store.open(settings.event_store_url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _redis(settings: Settings) -> Iterator[None]:
    """Hold on to the embedded Redis where none is configured."""
    from service.embedded import EmbeddedRedis  # noqa: PLC0415

    if settings.redis_url:
        yield
        return
    with EmbeddedRedis.join(settings.data_dir):
        yield


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _wrong_use(message: str) -> NoReturn:
    err.print(f"cinelog: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(2)


# Last, since those commands use what stands above.
from service.cli_views import views  # noqa: E402

app.add_typer(views)
