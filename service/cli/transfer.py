"""``cinelog import`` and ``export``: movies or a whole log, from a file and to a file."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from uuid import UUID

import typer

from commands.errors import ConfigurationError
from service.cli.console import AsJson, counted, err, print_result, report, usage_error
from service.cli.context import load_settings, open_store, projection_notifier
from service.cli.progress import Progress, phases
from service.errors import DamagedFileError

if TYPE_CHECKING:
    from commands.event_store.store import Store
    from service.settings import Settings
    from service.transfer.file_kinds import UnreadableInputError
    from service.transfer.import_movies import ImportReport
    from service.transfer.source import RowSource

# Undecodable events printed as text; JSON has all of them.
MAX_LINES = 100


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with a header, JSON Lines or a JSON array, optionally gzipped; - reads"
            " standard input."
        ),
    ],
    as_: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="USERNAME", help="Creator of the movies; required without --events."
        ),
    ] = None,
    events: Annotated[
        bool,
        typer.Option("--events", help="Restore a log from a file written by export --events."),
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Reason recorded in every event.", show_default="none")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Import movies from a file. Importing the same rows again adds nothing.

    With --events, restore a whole log into an empty event store, or nothing
    of a damaged file. Exit 1 if a row or the whole input was refused.
    """
    if not events:
        _import_movies(file, as_, reason, as_json=as_json)
    elif as_ is None and not reason:
        _import_events(file, as_json=as_json)
    else:
        usage_error("--events restores accounts and reasons too; omit --as and --reason")


def _import_movies(file: Path, username: str | None, reason: str, *, as_json: bool) -> NoReturn:
    from commands.messages import parse_reason
    from service.known_log import check_served
    from service.transfer.source import RowSource

    checked_reason = parse_reason(reason, "--reason")
    if username is None:
        usage_error("--as USERNAME is required")
    settings = load_settings()
    try:
        source = RowSource.open(file)
    except OSError as error:
        usage_error(f"{file}: {error.strerror}")
    with source, open_store(settings) as store:
        check_served(settings, store)
        account = store.account_id_of(username)
        if account is None:
            usage_error(f"there is no account {username!r}; register it first")
        store.user(account).check_active()
        imported, unreadable = _import_rows(settings, store, source, account, checked_reason)
    if unreadable is not None:
        where = f"cinelog: {file}" if unreadable.line is None else f"line {unreadable.line}: row"
        err.print_line(f"{where}: {unreadable.reason}")
    elif not imported.rows:
        report(f"{file}: it has no rows")
    damage = unreadable and {"line": unreadable.line, "reason": unreadable.reason}
    facts = imported._asdict() | {"damage": damage}
    print_result(facts, [imported.summary()], as_json=as_json)
    raise typer.Exit(1 if imported.refused or unreadable else 0)


def _import_rows(
    settings: "Settings", store: "Store", source: "RowSource", account: UUID, reason: str | None
) -> "tuple[ImportReport, UnreadableInputError | None]":
    """Import rows; an interrupted import reports what it has added so far."""
    from service.transfer.file_kinds import UnreadableInputError
    from service.transfer.import_movies import ImportReport, RefusedRow, import_movies
    from service.transfer.row_reader import rows_of

    imported, undecodable = ImportReport(), 0
    unit = "rows" if source.size is None else "bytes"
    with (
        projection_notifier(settings) as notify,
        Progress(err, "import", source.size, unit=unit) as progress,
    ):

        def advance(now: ImportReport) -> None:
            nonlocal imported
            imported = now
            progress.reach(now.rows if source.size is None else source.bytes_read)
            notify(now.position)

        def refuse(row: RefusedRow) -> None:
            nonlocal undecodable
            undecodable += row.reason == f"row: not {source.encoding}"
            err.print_line(f"line {row.line}: {row.reason}")

        try:
            rows = rows_of(source)
            import_movies(store, rows, account, advance=advance, refuse=refuse, reason=reason)
        except UnreadableInputError as error:
            return imported, error
        except BaseException:
            progress.stop()
            message = f"the import was interrupted: {imported.summary()}; run it again"
            err.print_line(f"cinelog: {message} to add the rest")
            raise
    if undecodable and source.encoding == "UTF-8":
        err.print_line(
            f"cinelog: {undecodable:,} rows are not UTF-8; if the file is Windows-1252 or Latin-1,"
            " convert it with iconv -f WINDOWS-1252 -t UTF-8"
        )
    return imported, None


def _import_events(file: Path, *, as_json: bool) -> NoReturn:
    from commands.event_store.known_log import KnownLog, identity_after_import
    from service.known_log import KnownLogStore
    from service.transfer.event_file import Summary, check_file, lineage_of, restore

    settings = load_settings(create=True)
    memory = KnownLogStore(settings)
    remembered = memory.read()
    found, damage = Summary(0, 0), None
    with open_store(settings, create=True) as store, projection_notifier(settings) as notify:
        store.check_empty()
        try:
            with file.open("rb") as source:
                if not source.seekable():
                    usage_error(f"{file}: it is read twice and cannot be a pipe; name a file")
                with Progress(err, "check, bytes", file.stat().st_size) as progress:
                    checked = check_file(source, progress.reach)
                with Progress(err, "import", checked.events) as progress:
                    lineage = lineage_of(source)
                    identity = identity_after_import(lineage, remembered, checked.position)
                    restore(store, source, progress.reach, identity)
        except OSError as error:
            usage_error(f"{file}: {error.strerror or error}")
        except DamagedFileError as error:
            damage = {"line": error.line, "reason": error.reason}
            where = f"line {error.line}: " if error.line else ""
            err.print_line(f"{where}{error.reason}; nothing was imported")
        else:
            found = checked
            store.continuity.refresh()
            memory.write(KnownLog(identity, store.continuity.marks))
            notify(found.position)
    line = f"{counted(found.events, 'event')} up to position {found.position:,} imported"
    print_result(found._asdict() | {"damage": damage}, [] if damage else [line], as_json=as_json)
    raise typer.Exit(1 if damage else 0)


def export_file(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Write the whole log. It contains password hashes: the file gets mode 0600.",
        ),
    ] = False,
    salvage: Annotated[
        bool,
        typer.Option(
            "--salvage", help="With --events: write what can be read of a damaged event store."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the current movies to a file: CSV if its name ends in .csv, else JSON Lines.

    With --events, write the whole log for import --events, gzipped if the
    name ends in .gz. A damaged event store is exported only with --salvage;
    exit 1 if anything is missing.
    """
    from service.transfer.export import export_events, export_movies

    settings = load_settings()
    if file.exists() and not (file.is_file() and force):
        hint = "; --force replaces it" if file.is_file() else " and is not a regular file"
        usage_error(f"{file} exists already{hint}")
    if salvage:
        if not events:
            usage_error("--salvage requires --events")
        _salvage(settings, file, as_json=as_json)
    with open_store(settings) as store:
        try:
            with Progress(err, "export", store.count()) as progress:
                export = export_events if events else export_movies
                written = export(store, file, progress.reach)
        except OSError as error:
            usage_error(f"{file}: {error.strerror or error}")
    what = counted(written[0], "event" if events else "movie")
    line = f"{what} up to position {written.position:,} written to {file}"
    print_result(written._asdict(), [line], as_json=as_json)


def _salvage(settings: "Settings", file: Path, *, as_json: bool) -> NoReturn:
    from service.transfer.salvage import salvage, sqlite_file

    with ExitStack() as stack:
        try:
            store = stack.enter_context(open_store(settings))
        except ConfigurationError:
            path = sqlite_file(settings)
            if path is None or not path.is_file():
                raise
            store = None  # the file is no longer a database
        try:
            found = salvage(settings, store, file, stack.enter_context(phases(err)))
        except OSError as error:
            usage_error(f"{file}: {error.strerror or error}")
    lines = [
        *(f"lost: positions {one.first:,} to {one.last:,}" for one in found.lost),
        *(f"undecodable, but kept: position {n:,}" for n in found.undecoded[:MAX_LINES]),
        f"{counted(found.events, 'event')} up to position {found.position:,} written to {file}",
    ]
    print_result(found.as_json(), lines, as_json=as_json)
    raise typer.Exit(1 if found.lost or found.undecoded else 0)
