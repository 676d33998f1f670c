"""``cinelog import`` and ``export``: movies, or the whole log, from a file and to one."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from commands.errors import DamagedError
from service.cli_parts import Json, err, open_store, out, prepared, wrong_use


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
            wrong_use("--events brings accounts and reasons along; leave out --as and --reason")
        _import_events(file, json=json)
        return
    from commands.messages import reason_of  # noqa: PLC0415 - commands start fast one by one
    from service.importing import (  # noqa: PLC0415
        Refused,
        Report,
        count_lines,
        import_movies,
        read_rows,
    )
    from service.progress import Progress  # noqa: PLC0415
    from service.wake import waker  # noqa: PLC0415

    why = reason_of(reason, "--reason")
    if as_ is None:
        wrong_use("whose movies are they? name an account: --as USERNAME")
    settings = prepared()
    try:
        total = count_lines(file)
        rows = read_rows(file)
    except OSError as error:
        wrong_use(f"{file}: {error.strerror}")
    with open_store(settings) as store, waker(settings) as wake:
        account = store.account_id_of(as_)
        if account is None:
            wrong_use(f"no account is called {as_!r}; register it first")
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

    settings = prepared()
    with open_store(settings) as store:
        try:
            if file.exists() and not (file.is_file() and force):
                hint = "; --force replaces it" if file.is_file() else " and is no plain file"
                wrong_use(f"{file} is there already{hint}")
            with Progress(err, "export", store.count()) as progress:
                export = export_events if events else export_movies
                report = export(store, file, progress.reach)
        except OSError as error:
            wrong_use(f"{file}: {error.strerror or error}")
    if json:
        print(orjson.dumps(report._asdict()).decode())  # noqa: T201
        return
    count, what = report[0], report._fields[0]
    out.print(
        f"{count:,} {what} up to position {report.position:,} written to {file}",
        markup=False,
        soft_wrap=True,
    )


def _import_events(file: Path, *, json: bool) -> None:
    from service.event_file import Summary  # noqa: PLC0415
    from service.progress import Progress  # noqa: PLC0415
    from service.restore import check, restore  # noqa: PLC0415
    from service.wake import waker  # noqa: PLC0415

    settings = prepared()
    found, damage = Summary(0, 0), None
    with open_store(settings) as store, waker(settings) as wake:
        store.check_empty()
        try:
            with file.open("rb") as source:
                with Progress(err, "check, bytes", file.stat().st_size) as progress:
                    checked = check(source, progress.reach)
                with Progress(err, "import", checked.events) as progress:
                    restore(store, source, progress.reach)
        except OSError as error:
            wrong_use(f"{file}: {error.strerror or error}")
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
