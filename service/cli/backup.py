"""``cinelog backup`` and ``restore``: the log in a directory or an object store, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from service.cli.console import (
    AsJson,
    counted,
    err,
    out,
    print_json,
    print_result,
    usage_error,
)
from service.cli.context import load_settings, open_store, projection_notifier
from service.cli.progress import Progress
from service.errors import DamagedBackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from service.backup.place import Place
    from service.backup.restore import Target
    from service.settings import Settings


class _CreateByDefault(TyperGroup):
    """``backup URL`` means ``backup create URL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["create", *args]
        return super().parse_args(ctx, args)


backup = typer.Typer(
    name="backup",
    cls=_CreateByDefault,
    help="Back up the log: cinelog backup URL is short for backup create URL.",
    no_args_is_help=False,
)
Url = Annotated[
    str | None,
    typer.Argument(
        help="A directory, or a URL that fsspec reaches, such as s3://bucket/path.",
        show_default="CINELOG_BACKUP_URL",
    ),
]
Identity = Annotated[
    Path | None,
    typer.Option(
        help="File with the private key of encrypted backups (age or SSH).", show_default="none"
    ),
]


@backup.command("create")
def create(
    url: Url = None,
    to_recipient: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Public key to encrypt to (age1… or ssh-…); may be repeated.",
            show_default="CINELOG_BACKUP_RECIPIENT",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Begin a new chain with the whole log.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Back up the events since the last backup, or the whole log as a new chain.

    Every file is read back and compared before it counts. Nothing is
    encrypted without a public key.
    """
    from service.backup.backup import back_up
    from service.backup.configured import options_of, record_success
    from service.known_log import check_served

    settings = load_settings()
    place = _place(settings, url)
    options = options_of(settings, ",".join(to_recipient or ()) or None, full=full)
    with open_store(settings) as store:
        check_served(settings, store)
        with Progress(err, "backup, events", None) as progress:
            made = back_up(store, place, options, progress.reach)
    if url in (None, settings.backup_url):
        record_success(settings, made)
    if made.kind == "none":
        line = f"nothing to do: {place.url} is up to position {made.position:,} already"
    else:
        what = counted(made.events, "event")
        line = f"{made.kind} backup of {what} up to position {made.position:,} to {place.url}"
    gone = [f"deleted: chain {name}" for name in made.expired]
    print_result(made._asdict(), [line, *gone], as_json=as_json)


@backup.command("list")
def list_backups(url: Url = None, as_json: AsJson = False) -> None:
    """List the backups in a place, the oldest first."""
    rows = list(_rows(_place(load_settings(), url)))
    if as_json:
        print_json(rows)
        return
    table = Table("at", "kind", "after", "position", "events", "bytes", "encrypted", "chain")
    for row in rows:
        cells = (row[name] for name in ("after", "position", "events", "size"))
        numbers = ("?" if cell is None else f"{cell:,}" for cell in cells)
        encrypted = "yes" if row["encrypted"] else "no"
        table.add_row(row["at"], row["kind"], *numbers, encrypted, row["chain"])
    out.print(table)


def _rows(place: "Place") -> "Iterator[dict[str, Any]]":
    from commands.rfc3339 import rfc3339
    from service.backup.catalog import read_catalog
    from service.backup.manifest import read_manifest

    for chain in read_catalog(place).chains:
        for one in chain.backups:
            row: dict[str, Any] = {"chain": chain.name, "kind": one.kind, "at": rfc3339(one.at)}
            row |= {"after": one.after, "position": one.until, "encrypted": one.encrypted}
            row |= {"events": None, "size": None, "latest": None}
            try:
                manifest = read_manifest(place, one)
            except DamagedBackupError:
                yield row
                continue
            facts = {name: getattr(manifest, name) for name in ("at", "events", "size", "latest")}
            yield row | facts


@backup.command("verify")
def verify_backups(url: Url = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """Read every backup and compare it with its manifest.

    Exit 1 if one is damaged, or there is none. With the private key, or
    without encryption, all events are read, too.
    """
    from service.backup.configured import reader_of
    from service.backup.verify import verify

    settings = load_settings()
    place = _place(settings, url)
    with Progress(err, "verify, files", None) as progress:
        reader = reader_of(settings, place, identity)
        found = verify(reader, lambda done, _total: progress.reach(done))
    for one in found.damage:
        err.print_line(f"{one.name}: {one.reason}")
    lines = [
        f"{chain.name}: {counted(chain.backups, 'backup')}, restorable up to position"
        f" {chain.position:,} of {chain.until:,}"
        for chain in found.chains
    ]
    if not found.decoded:
        lines.append("encrypted files were compared, not read: --identity names the private key")
    facts = {
        "chains": [chain._asdict() for chain in found.chains],
        "damage": [one._asdict() for one in found.damage],
        "decoded": found.decoded,
    }
    print_result(facts, lines or [f"{place.url} has no backup"], as_json=as_json)
    raise typer.Exit(1 if found.damage or not found.chains else 0)


def restore_log(  # noqa: PLR0913, PLR0917 - an option each
    url: Url = None,
    to_position: Annotated[
        int | None, typer.Option(min=1, help="Restore up to this position.", show_default="the end")
    ] = None,
    to_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Restore the log as it was then (RFC 3339).",
            show_default="the end",
        ),
    ] = None,
    identity: Identity = None,
    chain: Annotated[
        str | None, typer.Option(metavar="NAME", help="Chain to restore.", show_default="newest")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Restore the log from backups into an empty event store: all of it, or nothing.

    A new epoch of the log begins, as with import --events.
    """
    from commands.event_store.known_log import KnownLog, identity_after_import
    from service.backup.configured import reader_of
    from service.backup.restore import make_plan, restore
    from service.known_log import KnownLogStore

    settings = load_settings(create=True)
    place, target = _place(settings, url), _target(to_position, to_time)
    memory = KnownLogStore(settings)
    remembered = memory.read()
    with open_store(settings, create=True) as store, projection_notifier(settings) as notify:
        store.check_empty()
        plan = make_plan(place, target, chain)
        with Progress(err, "restore", plan.events) as progress:
            restored, log = restore(
                reader_of(settings, place, identity),
                plan,
                store,
                lambda file, end: identity_after_import(file, remembered, end),
                progress.reach,
            )
        store.continuity.refresh()
        memory.write(KnownLog(log, store.continuity.marks))
        notify(restored.position)
    what = counted(restored.events, "event")
    line = f"{what} up to position {restored.position:,} restored from {plan.chain}"
    facts = restored._asdict() | {"chain": plan.chain, "log": str(log)}
    print_result(facts, [line], as_json=as_json)


def _place(settings: "Settings", url: str | None) -> "Place":
    from service.backup.place import open_place

    return open_place(settings.backup_url if url is None else url)


def _target(position: int | None, time: str | None) -> "Target":
    from commands.rfc3339 import parse_rfc3339
    from service.backup.restore import Target

    if position is not None and time is not None:
        usage_error("name a position or a time, not both")
    at: datetime | None = None
    if time is not None:
        try:
            at = parse_rfc3339(time)
        except ValueError:
            usage_error("--to-time: write it as RFC 3339, such as 2026-01-31T12:00:00Z")
    return Target(position, at)
