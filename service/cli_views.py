"""``cinelog rebuild``, ``verify`` and ``parked``: the read model against its log."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from commands.errors import ReadModelUnavailableError
from commands.store import Store
from service.cli import Json, _prepared, _redis, _store, err, out
from service.progress import Progress
from service.settings import Settings

if TYPE_CHECKING:
    from projections.compare import Drift

views: typer.Typer = typer.Typer()
parked = typer.Typer(
    name="parked",
    help="Movies that are put aside because an event of theirs cannot be applied.",
    no_args_is_help=True,
)
views.add_typer(parked)
# Long work is done with what the service leaves of the processor.
NICE = 10


@views.command()
def rebuild(
    parallel: Annotated[int, typer.Option(help="Processes that read the log.", min=1, max=64)] = 1,
    json: Json = False,
) -> None:
    """Build the read model again from the log, compare, and put it in the place of the live one.

    Everything is served meanwhile. Exit 1 where the old one differed from the log.
    """
    from projections.fill import collect_seldom, fill  # noqa: PLC0415 - commands start fast one by one
    from projections.fillers import Fillers  # noqa: PLC0415
    from projections.rebuild import rebuild as build  # noqa: PLC0415
    from service.drift import told  # noqa: PLC0415

    os.nice(NICE)
    collect_seldom()
    started = time.monotonic()
    with _parts() as (settings, store, redis), _phases() as advance:
        fillers = Fillers(parallel, settings.event_store_url, settings.redis_url_or_embedded)
        by = fill if parallel == 1 else fillers.fill
        built = build(store, redis, fill=by, advance=advance)
    seconds = round(time.monotonic() - started, 3)
    if json:
        said = built._asdict() | {"seconds": seconds, **told(built.drift)}
        del said["drift"]
        print(orjson.dumps(said).decode())  # noqa: T201
    else:
        out.print(
            f"generation {built.generation} is live: {built.movies:,} movies from {built.events:,}"
            f" events, up to position {built.position:,}, in {seconds:,.1f} s"
        )
        if built.parked:
            out.print(f"{built.parked:,} cannot be applied; see cinelog parked list")
        if built.compared:
            _say(built.drift, f"the one before, {built.compared:,} fields of it:")
        else:
            out.print("there was none before that could be compared")
    raise typer.Exit(1 if built.drift.counts else 0)


@views.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Put right what differs.")] = False,
    json: Json = False,
) -> None:
    """Compare every row and index of the read model with the log.

    Exit 1 where something differs, also where --repair has put it right.
    """
    from projections.fill import collect_seldom  # noqa: PLC0415
    from projections.verify import verify as check  # noqa: PLC0415
    from service.drift import told  # noqa: PLC0415

    os.nice(NICE)
    collect_seldom()
    with _parts() as (_, store, redis), _phases() as advance:
        found = check(
            store,
            redis,
            repair=repair,
            advance=lambda done, total: advance("verify", done, total),
        )
        head = store.head()
    mended = repair and bool(found.drift.counts) and not found.foreign
    if json:
        said = found._asdict() | {
            "log_position": head,
            "repaired": mended,
            **told(found.drift),
        }
        del said["drift"]
        print(orjson.dumps(said).decode())  # noqa: T201
    elif found.foreign:
        out.print("the read model was built from another log; run cinelog rebuild")
    else:
        what = f"generation {found.generation} at position {found.position:,} of {head:,},"
        _say(found.drift, f"{what} {found.compared:,} fields of it:")
        if mended:
            out.print("all of that was put right")
    raise typer.Exit(1 if found.drift.counts else 0)


@parked.command("list")
def show(json: Json = False) -> None:
    """Show what is parked: since which event, and why."""
    from projections.parked import parked_in  # noqa: PLC0415
    from projections.verify import live_view  # noqa: PLC0415

    with _parts() as (_, _store, redis):
        marks = list(parked_in(live_view(redis)).values())
    if json:
        print(orjson.dumps([mark._asdict() for mark in marks]).decode())  # noqa: T201
        return
    table = Table("id", "since position", "event", "error", "dropped")
    for mark in marks:
        dropped = "yes" if mark.dropped else ""
        table.add_row(mark.id, f"{mark.position:,}", mark.type, escape(mark.error), dropped)
    out.print(table if marks else "nothing is parked")


@parked.command()
def retry(
    movie_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which; all where none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Apply the events of parked movies again. Exit 1 where one still cannot be applied."""
    from projections.parked import parked_in  # noqa: PLC0415
    from projections.parked import retry as take_up  # noqa: PLC0415
    from projections.verify import live_view  # noqa: PLC0415

    with _parts() as (_, store, redis):
        live = live_view(redis)
        known = parked_in(live)
        _check_parked(movie_ids or [], known)
        outcomes = list(take_up(store, live, movie_ids or list(known)))
    refused = {key: error for key, error in outcomes if error is not None}
    applied = [key for key, error in outcomes if error is None]
    if json:
        print(orjson.dumps({"applied": applied, "refused": refused}).decode())  # noqa: T201
    else:
        for key, error in refused.items():
            out.print(f"{key}: {error}", markup=False, soft_wrap=True)
        out.print(f"{len(applied):,} applied, {len(refused):,} still parked")
    raise typer.Exit(1 if refused else 0)


@parked.command()
def drop(
    movie_id: Annotated[str, typer.Argument(metavar="ID", help="A parked movie.")],
) -> None:
    """Give up on a parked movie: it leaves the lists until a retry or a rebuild."""
    from projections.parked import drop as give_up  # noqa: PLC0415
    from projections.parked import parked_in  # noqa: PLC0415
    from projections.verify import live_view  # noqa: PLC0415

    with _parts() as (_, _store, redis):
        live = live_view(redis)
        _check_parked([movie_id], parked_in(live))
        give_up(live, movie_id)
    out.print(f"{movie_id} is dropped", markup=False)


def _check_parked(ids: list[str], known: dict[str, Any]) -> None:
    for one in ids:
        if one not in known:
            err.print(f"{one} is not parked", markup=False, soft_wrap=True)
            raise typer.Exit(1)


def _say(drift: "Drift", what: str) -> None:
    from service.drift import lines  # noqa: PLC0415

    for line in lines(drift, what):
        out.print(line, markup=False, soft_wrap=True)


@contextmanager
def _parts() -> Iterator[tuple[Settings, Store, Any]]:
    """Open the event store and Redis; a Redis that goes away is one line."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    from projections.connection import open_redis  # noqa: PLC0415

    settings = _prepared()
    with _store(settings) as store, _redis(settings):
        redis = open_redis(settings.redis_url_or_embedded)
        try:
            yield settings, store, redis
        except RedisError as error:
            raise ReadModelUnavailableError(type(error).__name__) from error
        finally:
            redis.close()


@contextmanager
def _phases() -> Iterator[Any]:
    """Yield what shows progress: ``advance(what, done, total)``, a bar for each ``what``."""
    with ExitStack() as stack:
        bars: dict[str, Progress] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in bars:
                stack.close()
                bars[what] = stack.enter_context(Progress(err, what, total))
            bars[what].reach(done)

        yield advance
