"""``cinelog check``, and ``export --events --salvage``: a damaged event store."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from commands.errors import ConfigurationError
from service.cli.context import Json, err, open_store, out, prepared, usage_error
from service.cli.printable import print_json
from service.cli.progress import phases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.event_store.store import Store
    from service.settings import Settings

_TOLD = 100


def check(json: Json = False) -> None:
    """Check every page and every event of the event store; exit 1 where something is wrong.

    A store that was known to be damaged, and is whole, takes writes again.
    """
    from commands.event_store.salvage import check_events  # noqa: PLC0415 - commands start fast one by one

    settings = prepared()
    with open_store(settings) as store, phases(err) as advance:
        known = store.damage.reason
        advance("check pages", 0, 1)
        pages = store.integrity.check_pages()
        advance("check pages", 1, 1)
        events = list(check_events(store, lambda done, of: advance("check events", done, of)))
        if known and not pages and not any(one.problem == "cannot be read" for one in events):
            store.damage.clear()
        damage = store.damage.reason
        count = _count(store)
    whole = not (pages or events or damage)
    if json:
        found = [one._asdict() for one in events]
        print_json({"whole": whole, "events": count, "pages": pages, "wrong": found})
    else:
        for line in pages:
            out.print(f"page: {line}", markup=False, soft_wrap=True)
        for one in events[:_TOLD]:
            where = f"{one.first:,}" + (f" to {one.last:,}" if one.last != one.first else "")
            out.print(f"position {where}: {one.problem}", markup=False, soft_wrap=True)
        if (more := len(events) - _TOLD) > 0:
            out.print(f"… and {more:,} more")
        counted = "events that cannot be counted" if count is None else f"{count:,} events"
        out.print(f"{counted}: {'nothing is wrong' if whole else 'the store is not whole'}")
        if known and whole:
            out.print(f"it was known to be damaged ({known}) and takes writes again")
    raise typer.Exit(0 if whole else 1)


def salvage_events(settings: "Settings", file: Path, *, json: bool) -> NoReturn:
    """Write what can be read of the log, list what cannot, and end."""
    from service.transfer.salvage import salvage, sqlite_file  # noqa: PLC0415

    with _opened(settings, sqlite_file(settings)) as store, phases(err) as advance:
        try:
            found = salvage(settings, store, file, advance)
        except OSError as error:
            usage_error(f"{file}: {error.strerror or error}")
    if json:
        print_json(found.facts())
    else:
        for one in found.lost:
            out.print(f"lost: positions {one.first:,} to {one.last:,}")
        for position in found.undecoded[:_TOLD]:
            out.print(f"kept, but cannot be decoded: position {position:,}")
        out.print(
            f"{found.events:,} events up to position {found.position:,} written to {file}",
            markup=False,
            soft_wrap=True,
        )
    raise typer.Exit(1 if found.lost or found.undecoded else 0)


@contextmanager
def _opened(settings: "Settings", file: Path | None) -> "Iterator[Store | None]":
    """Open the event store; None where its file is there and is no database any more."""
    try:
        opened: Any = open_store(settings)
        store = opened.__enter__()
    except ConfigurationError:
        if file is None or not file.is_file():
            raise
        yield None
        return
    try:
        yield store
    finally:
        opened.__exit__(None, None, None)


def _count(store: "Store") -> int | None:
    from commands.errors import EventStoreUnavailableError  # noqa: PLC0415

    try:
        return store.count()
    except EventStoreUnavailableError:
        return None
