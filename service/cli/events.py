"""``cinelog events``: the changes of all movies in the order of the log, also while it grows."""

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from commands.errors import EventStoreUnavailableError
from service.cli.context import Json, complain, open_store, out, prepared, usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.event_store.store import Store
    from queries.log.history import Changes

_PAGE = 500
# How often the log is asked whether it has grown.
POLL_S = 0.3
_NAMES_KEPT = 10_000


def show_events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what is added, until Ctrl-C.")
    ] = False,
    after: Annotated[
        int, typer.Option(help="Begin behind this position.", min=0, max=2**63 - 1)
    ] = 0,
    json: Json = False,
) -> None:
    """Show the changes of all movies in the order of the log, one a line.

    A line has the position, the time, the type, the account, the movie and what changed; with
    --json it is an object. Changes of accounts are left out.
    """
    settings = prepared()
    with open_store(settings) as store:
        if after > (head := store.head()):
            usage_error(f"--after {after}: the log ends at position {head}")
        show = _show_json if json else _show_text
        name_of = lru_cache(_NAMES_KEPT)(store.username_of)
        try:
            for changes in _pages(store, after, follow=follow):
                for entry in changes.entries:
                    show({"movie_id": entry.movie_id, **entry.shown(name_of)})
                out.file.flush()
        except KeyboardInterrupt:
            if not follow:
                raise


def _pages(store: "Store", after: int, *, follow: bool) -> "Iterator[Changes]":
    """Yield what follows a position; to ``follow`` never ends, and waits for a store that is away.

    Raises typer.Exit where the log is not the one any more that was read.
    """
    from queries.log.history import changes_after  # noqa: PLC0415 - commands start fast one by one

    away = False
    while True:
        try:
            changes = changes_after(store, after, _PAGE)
            shorter = not changes.entries and store.head() < after
        except EventStoreUnavailableError as error:
            if not follow:
                raise
            if not away:
                complain(f"{error}; tries again", "warning")
            away = True
        else:
            if shorter:
                complain(f"the log ends before position {after}: an older state was put back")
                raise typer.Exit(1)
            away, after = False, changes.reached
            yield changes
            if changes.more:
                continue
            if not follow:
                return
        time.sleep(POLL_S)


def _show_json(row: dict[str, Any]) -> None:
    print(orjson.dumps(row).decode())  # noqa: T201


def _show_text(row: dict[str, Any]) -> None:
    changes = ", ".join(
        f"{name}: {c['from']!r} → {c['to']!r}" if c["from"] is not None else f"{name}: {c['to']!r}"
        for name, c in row["changes"].items()
    )
    who = row["actor"]["username"] or row["actor"]["id"] or "-"
    line = f"{row['position']:>8}  {row['at'] or '-':27}  {row['type']:13}  {who:16}"
    out.print(f"{line}  {row['movie_id']}  {changes}".rstrip(), markup=False, soft_wrap=True)
