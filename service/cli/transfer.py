"""``cinelog import`` and ``export``: movies, or the whole log, from a file and to one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from commands.errors import DamagedFileError
from service.cli.context import Json, err, open_store, out, prepared, prepared_to_make, usage_error
from service.cli.printable import print_json

if TYPE_CHECKING:
    from commands.event_store.store import Store
    from service.settings import Settings
    from service.transfer.import_movies import Report
    from service.transfer.readers.file_kinds import UnreadableInputError
    from service.transfer.readers.source import RowSource


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with a header, JSON Lines or a JSON array, also in gzip; - is standard input."
        ),
    ],
    as_: Annotated[
        str | None, typer.Option("--as", help="Username of the movies' creator.")
    ] = None,
    events: Annotated[
        bool,
        typer.Option("--events", help="Restore a log from a file of export --events instead."),
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why; kept in every event.", show_default="none")
    ] = "",
    json: Json = False,
) -> None:
    """Import movies from a file. A second import of the same rows adds nothing.

    With --events: a whole log into an empty event store; of a damaged file, nothing.
    Exit 1 where a row, or the whole input, was refused.
    """
    if events:
        if as_ is not None or reason:
            usage_error("--events brings accounts and reasons along; leave out --as and --reason")
        _import_events(file, json=json)
        return
    from commands.messages import reason_of  # noqa: PLC0415 - commands start fast one by one
    from service.known_log import check_served  # noqa: PLC0415
    from service.transfer.readers.source import RowSource  # noqa: PLC0415

    why = reason_of(reason, "--reason")
    if as_ is None:
        usage_error("whose movies are they? name an account: --as USERNAME")
    settings = prepared()
    try:
        source = RowSource.open(file)
    except OSError as error:
        usage_error(f"{file}: {error.strerror}")
    with source, open_store(settings) as store:
        check_served(settings, store)
        account = store.account_id_of(as_)
        if account is None:
            usage_error(f"no account is called {as_!r}; register it first")
        report, unreadable = _import_rows(settings, store, source, account, why)
    if unreadable is not None:
        where = f"cinelog: {file}" if unreadable.line is None else f"line {unreadable.line}: row"
        err.print(f"{where}: {unreadable.reason}", markup=False, soft_wrap=True)
    elif not (report.added or report.already or report.refused):
        err.print(f"cinelog: {file}: it has no rows", markup=False, soft_wrap=True)
    if json:
        damage = unreadable and {"line": unreadable.line, "reason": unreadable.reason}
        print_json(report._asdict() | {"damage": damage})
    else:
        out.print(report.said())
    raise typer.Exit(1 if report.refused or unreadable else 0)


def _import_rows(
    settings: "Settings", store: "Store", source: "RowSource", account: UUID, reason: str | None
) -> "tuple[Report, UnreadableInputError | None]":
    """Import; what went in before anything goes wrong is told."""
    from service.cli.notify import projection_notifier  # noqa: PLC0415
    from service.cli.progress import Progress  # noqa: PLC0415
    from service.transfer.import_movies import NOTHING, Refused, Report, import_movies  # noqa: PLC0415
    from service.transfer.readers.file_kinds import UnreadableInputError  # noqa: PLC0415
    from service.transfer.readers.row_readers import rows_of  # noqa: PLC0415

    report, undecoded = NOTHING, 0
    by_bytes = source.size is not None
    with (
        projection_notifier(settings) as wake,
        Progress(err, "import", source.size, unit="bytes" if by_bytes else "rows") as progress,
    ):

        def advance(now: Report) -> None:
            nonlocal report
            report = now
            progress.reach(source.bytes_read if by_bytes else now.rows)
            wake(now.position)

        def refuse(row: Refused) -> None:
            nonlocal undecoded
            undecoded += row.reason == f"row: not {source.encoding}"
            err.print(f"line {row.line}: {row.reason}", markup=False, soft_wrap=True)

        try:
            rows = rows_of(source)
            import_movies(store, rows, account, advance=advance, refuse=refuse, reason=reason)
        except UnreadableInputError as error:
            return report, error
        except BaseException:
            progress.stop()
            said = f"the import ended early: {report.said()}; run it again to add the rest"
            err.print(f"cinelog: {said}", soft_wrap=True)
            raise
    if undecoded and source.encoding == "UTF-8":
        err.print(
            f"cinelog: {undecoded:,} rows are not UTF-8; if the file is Windows-1252 or Latin-1,"
            " convert it with iconv -f WINDOWS-1252 -t UTF-8",
            soft_wrap=True,
        )
    return report, None


def export_file(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Write the whole log, password hashes included: keep the file (mode 0600) safe.",
        ),
    ] = False,
    salvage: Annotated[
        bool,
        typer.Option(
            "--salvage", help="With --events: all that can be read of a damaged store; see check."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
) -> None:
    """Write the movies as they are now to a file: CSV where its name ends in .csv, else JSON Lines.

    With --events: the whole log, for import --events; in gzip where the name ends in .gz. Of a
    damaged store nothing is written, but with --salvage: exit 1 where something is missing then.
    """
    from service.cli.progress import Progress  # noqa: PLC0415
    from service.transfer.export import export_events, export_movies  # noqa: PLC0415

    settings = prepared()
    if file.exists() and not (file.is_file() and force):
        hint = "; --force replaces it" if file.is_file() else " and is no plain file"
        usage_error(f"{file} is there already{hint}")
    if salvage:
        if not events:
            usage_error("--salvage takes out events: add --events")
        from service.cli.check import salvage_events  # noqa: PLC0415

        salvage_events(settings, file, json=json)
    with open_store(settings) as store:
        try:
            with Progress(err, "export", store.count()) as progress:
                export = export_events if events else export_movies
                report = export(store, file, progress.reach)
        except OSError as error:
            usage_error(f"{file}: {error.strerror or error}")
    if json:
        print_json(report._asdict())
        return
    count, what = report[0], report._fields[0]
    out.print(
        f"{count:,} {what} up to position {report.position:,} written to {file}",
        markup=False,
        soft_wrap=True,
    )


def _import_events(file: Path, *, json: bool) -> None:
    from commands.event_store.known_log import KnownLog, identity_after_import  # noqa: PLC0415
    from service.cli.notify import projection_notifier  # noqa: PLC0415
    from service.cli.progress import Progress  # noqa: PLC0415
    from service.known_log import KnownLogStore  # noqa: PLC0415
    from service.transfer.event_file import Summary, lineage_of  # noqa: PLC0415
    from service.transfer.restore import check, restore  # noqa: PLC0415

    settings = prepared_to_make()
    memory = KnownLogStore(settings)
    remembered = memory.read()
    found, damage = Summary(0, 0), None
    with open_store(settings, create=True) as store, projection_notifier(settings) as wake:
        store.check_empty()
        try:
            with file.open("rb") as source:
                if not source.seekable():
                    usage_error(f"{file}: it is read twice, so a pipe will not do; name a file")
                with Progress(err, "check, bytes", file.stat().st_size) as progress:
                    checked = check(source, progress.reach)
                with Progress(err, "import", checked.events) as progress:
                    lineage = lineage_of(source)
                    identity = identity_after_import(lineage, remembered, checked.position)
                    restore(store, source, progress.reach, identity)
        except OSError as error:
            usage_error(f"{file}: {error.strerror or error}")
        except DamagedFileError as error:
            damage = {"line": error.line, "reason": error.reason}
            where = f"line {error.line}: " if error.line else ""
            said = f"{where}{error.reason}; nothing was imported"
            err.print(said, markup=False, soft_wrap=True)
        else:
            found = checked
            store.continuity.refresh()
            memory.write(KnownLog(identity, store.continuity.marks))
            wake(found.position)
    if json:
        print_json(found._asdict() | {"damage": damage})
    elif damage is None:
        out.print(f"{found.events:,} events imported, up to position {found.position:,}")
    raise typer.Exit(1 if damage else 0)
