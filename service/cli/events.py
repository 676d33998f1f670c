"""The commands that read the log: ``cinelog events``, ``history`` and ``check``."""

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from commands.errors import EventStoreUnavailableError, InvalidError, NotFoundError
from service.cli.console import (
    AsJson,
    counted,
    err,
    out,
    print_json,
    print_result,
    report,
    usage_error,
)
from service.cli.context import load_settings, open_store
from service.cli.progress import phases

if TYPE_CHECKING:
    from commands.event_store.log_reader import LogReader
    from commands.event_store.salvage import EventProblem
    from commands.event_store.store import Store
    from queries.log.event_filter import EventFilter
    from queries.log.movie_events import Changes

_PAGE_SIZE = 500
POLL_S = 0.3
_CACHED_NAMES = 10_000
# Problems printed as text; JSON has all of them.
MAX_LINES = 100


def show_events(  # noqa: PLR0913, PLR0917 - each is an option
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new events until Ctrl-C.")
    ] = False,
    after: Annotated[
        int, typer.Option(help="Start after this position.", min=0, max=2**63 - 1)
    ] = 0,
    kind: Annotated[
        str, typer.Option("--type", help="Only events of this type.", show_default="all")
    ] = "",
    movie: Annotated[str, typer.Option(help="Only events of this movie.", show_default="all")] = "",
    by: Annotated[
        str, typer.Option(help="Only events of the account of this name.", show_default="all")
    ] = "",
    since: Annotated[
        str, typer.Option(help="Only events at or after this time.", show_default="the first")
    ] = "",
    before: Annotated[
        str, typer.Option(help="Only events before this time.", show_default="none")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the changes of all movies in log order, one per line.

    A line has the position, the time, the type, the account, the movie and
    the changes. Events of accounts are left out. Times are RFC 3339 with an
    offset, such as 2026-01-02T12:00:00Z.
    """
    from queries.log.event_filter import EVENT_FILTERS

    given = (kind, movie, by, since, before)
    wanted = _event_filter(dict(zip(EVENT_FILTERS, given, strict=True)))
    settings = load_settings()
    with open_store(settings) as store:
        if after > (head := store.head()):
            usage_error(f"--after {after}: the log ends at position {head}")
        reader = store.reader(settings.event_store_read_url)
        username_of = lru_cache(_CACHED_NAMES)(reader.username_of)
        try:
            for changes in _pages(reader, username_of, after, wanted, follow=follow):
                for entry in changes.entries:
                    row = {"movie_id": entry.movie_id, **entry.to_dict(username_of)}
                    print_result(row, [_event_line(row)], as_json=as_json)
                out.file.flush()
        except KeyboardInterrupt:
            if not follow:
                raise


def show_history(
    movie_id: Annotated[str, typer.Argument(help="Id of a movie, which may be deleted.")],
    as_json: AsJson = False,
) -> None:
    """Print the history of a movie."""
    from commands.aggregates.movie import Movie
    from queries.log.history import entries

    settings = load_settings()
    with open_store(settings) as store:
        try:
            stream_id = UUID(movie_id)
        except ValueError:
            usage_error("a movie id looks like 01890a5d-ac96-774b-bcce-b302099a8057")
        reader = store.reader(settings.event_store_read_url)
        with reader.reading():
            if reader.last_version(Movie, stream_id) == 0:
                raise NotFoundError
            username_of = lru_cache(reader.username_of)
            events = reader.read_stream(stream_id)
            rows = [entry.to_dict(username_of) for entry in entries(events)]
    if as_json:
        for row in rows:
            print_json(row)
        return
    table = Table("version", "at", "by", "event", "changes", "reason", "request")
    for row in rows:
        cells = (
            *(row["at"], row["actor"]["username"], row["type"]),
            *("\n".join(_changes(row)), row["reason"], row["request_id"]),
        )
        table.add_row(str(row["version"]), *(escape(cell or "") for cell in cells))
    out.print(table)


def check(as_json: AsJson = False) -> None:
    """Check every page and every event of the event store. Exit 1 if there is a problem.

    A store that was known to be damaged accepts writes again once it passes the check.
    """
    from commands.event_store.salvage import check_events

    settings = load_settings()
    with open_store(settings) as store, phases(err) as advance:
        known = store.damage.reason
        advance("check pages", 0, 1)
        pages = store.integrity.check_pages()
        advance("check pages", 1, 1)
        problems = list(check_events(store, lambda done, of: advance("check events", done, of)))
        if known and not pages and not any(one.problem == "cannot be read" for one in problems):
            store.damage.clear()
        damage = store.damage.reason
        count = _count(store)
    whole = not (pages or problems or damage)
    facts = {
        "whole": whole,
        "events": count,
        "pages": pages,
        "wrong": [one._asdict() for one in problems],
    }
    lines = [*(f"page: {page}" for page in pages), *_problem_lines(problems)]
    number = "number of events unknown" if count is None else counted(count, "event")
    lines.append(f"{number}: {'no problems found' if whole else 'the event store is damaged'}")
    if known and whole:
        lines.append(f"the store was marked as damaged ({known}); it accepts writes again")
    print_result(facts, lines, as_json=as_json)
    raise typer.Exit(0 if whole else 1)


def _event_filter(given: dict[str, str]) -> "EventFilter":
    """Return the filter of the options; a wrong one is wrong use."""
    from queries.log.event_filter import parse_event_filter

    options = dict(zip(given, ("--type", "--movie", "--by", "--since", "--before"), strict=True))
    try:
        return parse_event_filter({name: text.strip() for name, text in given.items()})
    except InvalidError as error:
        name, messages = next(iter(error.errors.items()))
        usage_error(f"{options[name]}: {messages[0]}")


def _pages(
    reader: "LogReader",
    username_of: Callable[[str], str],
    after: int,
    wanted: "EventFilter",
    *,
    follow: bool,
) -> "Iterator[Changes]":
    """Yield wanted changes after a position; ``follow`` polls for more, also past an outage.

    Raises typer.Exit if the log becomes shorter than the position read.
    """
    from queries.log.movie_events import MovieEvents

    movie_events = MovieEvents(reader, username_of)
    unreachable = False
    while True:
        try:
            with reader.reading(after):
                changes = movie_events.after(after, _PAGE_SIZE, wanted)
                shorter = not changes.entries and reader.head() < after
        except EventStoreUnavailableError as error:
            if not follow:
                raise
            if not unreachable:
                report(f"{error}; retrying", "warning")
            unreachable = True
        else:
            if shorter:
                report(f"the log ends before position {after}: an older state was restored")
                raise typer.Exit(1)
            unreachable, after = False, changes.reached
            yield changes
            if changes.more:
                continue
            if not follow:
                return
        time.sleep(POLL_S)


def _event_line(row: dict[str, Any]) -> str:
    account = row["actor"]["username"] or row["actor"]["id"] or "-"
    line = f"{row['position']:>8}  {row['at'] or '-':27}  {row['type']:13}  {account:16}"
    return f"{line}  {row['movie_id']}  {', '.join(_changes(row))}".rstrip()


def _changes(row: dict[str, Any]) -> Iterator[str]:
    for name, change in row["changes"].items():
        before = "" if change["from"] is None else f"{change['from']!r} → "
        yield f"{name}: {before}{change['to']!r}"


def _problem_lines(problems: "list[EventProblem]") -> Iterator[str]:
    for one in problems[:MAX_LINES]:
        last = f" to {one.last:,}" if one.last != one.first else ""
        yield f"position {one.first:,}{last}: {one.problem}"
    if (more := len(problems) - MAX_LINES) > 0:
        yield f"… and {more:,} more"


def _count(store: "Store") -> int | None:
    try:
        return store.count()
    except EventStoreUnavailableError:
        return None
