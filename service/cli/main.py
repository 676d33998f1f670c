"""The command line: ``cinelog``. Exit 0 done, 1 the answer is no, 2 wrong use or configuration."""

import os
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table
from typer._click.exceptions import ClickException

from commands.errors import (
    AccountClosedError,
    CinelogError,
    ConfigurationError,
    EventStoreUnavailableError,
    FewerEventsError,
    NotFoundError,
    RebuildRunningError,
    StoreDamagedError,
)
from service.cli.accounts import account, operator
from service.cli.backup import backup, restore_log
from service.cli.console import (
    AsJson,
    escape_unencodable,
    out,
    print_json,
    report,
    report_in_log_lines,
)
from service.cli.context import load_settings, open_store, running_redis, warn_of_restricted_modes
from service.cli.events import check, show_events, show_history
from service.cli.keys import keys
from service.cli.parked import parked
from service.cli.read_model import read_model
from service.cli.tokens import token
from service.cli.transfer import export_file, import_file
from service.errors import DamagedBackupError
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
app.add_typer(read_model)
app.add_typer(parked)
app.add_typer(operator)
app.add_typer(account)
app.add_typer(token)


AcceptLog = Annotated[
    bool,
    typer.Option(
        "--accept-log",
        help="Accept an event store that is not the one served before, and begin a new epoch.",
    ),
]
# Negative answers rather than wrong use.
_EXIT_1 = (
    AccountClosedError,
    DamagedBackupError,
    FewerEventsError,
    NotFoundError,
    RebuildRunningError,
    StoreDamagedError,
)


def main() -> NoReturn:
    """Run ``cinelog``; a problem is reported in one line."""
    escape_unencodable()
    if sys.argv[1:2] in (["serve"], ["project"]):
        report_in_log_lines()
    os.umask(0o077)  # its files contain password hashes, keys and e-mail addresses
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has left, as with ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    sys.exit(code)


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        warn_of_restricted_modes()
    except CinelogError as error:
        report(error)
        return 1 if isinstance(error, _EXIT_1) else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except ClickException as error:
        if error.__class__.__name__ != "NoArgsIsHelpError":
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "cinelog"
            report(f"{error.format_message().rstrip('.')}; see {path} --help")
        else:
            error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0


def _default(name: str, value: str = "") -> str:
    return f"CINELOG_{name.upper()}, or {value or Settings.model_fields[name].default}"


def _print_version(value: bool) -> None:  # noqa: FBT001 - as typer calls it
    if value:
        from importlib.metadata import version

        out.print(f"cinelog {version('cinelog')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
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
        typer.Option(
            help="Number of API processes.", show_default=_default("workers", "one per core")
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Add sample movies to an empty event store.")
    ] = False,
    accept_log: AcceptLog = False,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="For development: restart the workers and the projection when a source file"
            " changes.",
        ),
    ] = False,
) -> None:
    """Serve the API and run the projection; also a Redis server unless one is configured."""
    from service.auth.signing_keys import load_keys
    from service.processes.supervisor import serve as supervise
    from service.transfer.sample import add_sample

    settings = load_settings(create=True, host=host, port=port, workers=workers)
    load_keys(settings.signing_keys)  # made or refused once, before any process starts
    accept: Accept = "any log" if accept_log else "nothing"
    before = partial(add_sample, settings, accept) if sample else None
    ready = warn_of_restricted_modes
    raise typer.Exit(supervise(settings, before, accept_log=accept_log, reload=reload, ready=ready))


@app.command()
def project(accept_log: AcceptLog = False) -> None:
    """Run only a projection worker; one at a time is active, the others stand by."""
    from service.processes.projection_worker import run_alone

    run_alone(load_settings(create=True), accept_log=accept_log, ready=warn_of_restricted_modes)


# Registered here because the help lists commands in this order.
app.command("import")(import_file)
app.command("export")(export_file)
app.add_typer(backup)
app.command("restore")(restore_log)
app.command("events")(show_events)
app.command("history")(show_history)
app.command("check")(check)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Print the last position of the log and how far the read model and projection are behind.

    Exit 1 if the event store or the read model cannot be used.
    """
    from service.known_log import check_served
    from service.observability.status import DAMAGED, OTHER_LOG, UNAVAILABLE, status_of

    settings = load_settings()
    with open_store(settings) as store, running_redis(settings):
        store.integrity.quick_check()
        state = status_of(settings, store)
        try:
            if not store.damage.reason:
                check_served(settings, store)
        except ConfigurationError as error:
            report(error)
            state = replace(state, event_store=replace(state.event_store, state=OTHER_LOG))
        except EventStoreUnavailableError:
            pass  # the state shows it
    usable = state.read_model.state != UNAVAILABLE
    usable = usable and state.event_store.state not in (UNAVAILABLE, OTHER_LOG, DAMAGED)
    if as_json:
        print_json(state.as_dict())
    else:
        table = Table(box=None, show_header=False)
        for part, facts in state.as_dict().items():
            for name, value in facts.items():
                table.add_row(part.replace("_", " "), name.replace("_", " "), _cell(value))
                part = ""  # noqa: PLW2901 - the name of a part stands in its first row only
        out.print(table)
    raise typer.Exit(0 if usable else 1)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
