"""The command line: ``cinelog``. Exit 0 done, 1 the answer is no, 2 wrong use or configuration."""

import os
import sys
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, NoReturn
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table
from typer._click.exceptions import ClickException

from commands.errors import (
    CinelogError,
    ConfigurationError,
    EventStoreUnavailableError,
    FewerEventsError,
    NotFoundError,
    RebuildRunningError,
    StoreDamagedError,
)
from service.cli.check import check
from service.cli.context import (
    Json,
    complain,
    escape_output,
    hold_redis,
    open_store,
    out,
    prepared,
    prepared_to_make,
    speak_as_a_service,
    tell_narrowed,
    usage_error,
)
from service.cli.events import show_events
from service.cli.keys import keys
from service.cli.parked import parked
from service.cli.printable import print_json
from service.cli.read_model import views
from service.cli.transfer import export_file, import_file
from service.settings import Settings
from service.settings_page import epilog

if TYPE_CHECKING:
    from commands.event_store.known_log import Accept

app = typer.Typer(
    name="cinelog",
    help="Cinelog: an event-sourced movies API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=epilog(),
)
app.add_typer(keys)
app.add_typer(views)
app.add_typer(parked)


AcceptLog = Annotated[
    bool,
    typer.Option(
        "--accept-log",
        help="Go on with an event store that is not the one served before: a new epoch begins.",
    ),
]
# What is no wrong use, only not what was hoped for.
_ANSWERS = (FewerEventsError, NotFoundError, RebuildRunningError, StoreDamagedError)


def main() -> NoReturn:
    """Run ``cinelog``; whatever goes wrong is said in one line."""
    escape_output()
    if sys.argv[1:2] in (["serve"], ["project"]):
        speak_as_a_service()
    os.umask(0o077)  # what is written holds password hashes, keys and e-mail addresses
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    sys.exit(code)


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        tell_narrowed()
    except CinelogError as error:
        complain(error)
        return 1 if isinstance(error, _ANSWERS) else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except ClickException as error:
        if error.__class__.__name__ != "NoArgsIsHelpError":
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "cinelog"
            complain(f"{error.format_message().rstrip('.')}; see {path} --help")
        else:
            error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0


def _default(name: str, value: str = "") -> str:
    return f"CINELOG_{name.upper()}, or {value or Settings.model_fields[name].default}"


def _version(value: bool) -> None:  # noqa: FBT001 - as typer calls it
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - slow to import

        out.print(f"cinelog {version('cinelog')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Cinelog: an event-sourced movies API."""


@app.command()
def serve(  # noqa: PLR0913, PLR0917 - an option each
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default=_default("host"))
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on.", show_default=_default("port"))
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="API processes.", show_default=_default("workers", "one a core")),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Fill an empty store with real movies.")
    ] = False,
    accept_log: AcceptLog = False,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="For development: start the workers and the projection again when a source file"
            " changes.",
        ),
    ] = False,
) -> None:
    """Serve the API, the projection and, where none is configured, a Redis."""
    from service.auth.signing_keys import load_keys  # noqa: PLC0415 - commands start fast one by one
    from service.processes.supervisor import serve as supervise  # noqa: PLC0415
    from service.transfer.sample import add_sample  # noqa: PLC0415

    settings = prepared_to_make(host=host, port=port, workers=workers)
    load_keys(settings.signing_keys)  # made, or refused, once and before any process starts
    accept: Accept = "any log" if accept_log else "nothing"
    before = partial(add_sample, settings, accept) if sample else None
    raise typer.Exit(
        supervise(settings, before, accept_log=accept_log, reload=reload, ready=tell_narrowed)
    )


@app.command()
def project(accept_log: AcceptLog = False) -> None:
    """Run a projection worker alone; one is active, others stand by."""
    from service.processes.projection_worker import run_alone  # noqa: PLC0415

    run_alone(prepared_to_make(), accept_log=accept_log, ready=tell_narrowed)


# Here, since the help lists commands in this order.
app.command("import")(import_file)
app.command("export")(export_file)
app.command("events")(show_events)
app.command("check")(check)


@app.command()
def status(json: Json = False) -> None:
    """Tell how far the log is and how far the read model shows it."""
    from service.known_log import check_served  # noqa: PLC0415
    from service.observability.status import DAMAGED, OTHER_LOG, UNAVAILABLE, status_of  # noqa: PLC0415

    settings = prepared()
    with open_store(settings) as store, hold_redis(settings):
        store.integrity.quick_check()
        state = status_of(settings, store)
        try:
            if not store.damage.reason:
                check_served(settings, store)
        except ConfigurationError as error:
            complain(error)
            state["event_store"]["state"] = OTHER_LOG
        except EventStoreUnavailableError:
            pass  # the state says so
    whole = state["read_model"]["state"] != UNAVAILABLE
    whole = whole and state["event_store"]["state"] not in (UNAVAILABLE, OTHER_LOG, DAMAGED)
    if json:
        print_json(state)
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
    from commands.movie import Movie  # noqa: PLC0415
    from queries.log.history import entries  # noqa: PLC0415

    settings = prepared()
    with open_store(settings) as store:
        try:
            wanted = UUID(movie_id)
        except ValueError:
            usage_error("a movie id looks like 01890a5d-ac96-774b-bcce-b302099a8057")
        if store.last_version(Movie, wanted) == 0:
            raise NotFoundError
        name_of = lru_cache(store.username_of)
        rows = [row.shown(name_of) for row in entries(store.read_stream(wanted))]
    if json:
        for row in rows:
            print_json(row)
        return
    table = Table("version", "at", "by", "what", "changes", "reason", "request")
    for row in rows:
        changes = (f"{name}: {c['from']!r} → {c['to']!r}" for name, c in row["changes"].items())
        cells = (row["at"], row["actor"]["username"], row["type"], "\n".join(changes))
        more = (row["reason"], row["request_id"])
        table.add_row(str(row["version"]), *(escape(cell or "") for cell in (*cells, *more)))
    out.print(table)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
