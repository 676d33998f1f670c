"""``cinelog rebuild`` and ``verify``: the read model against its log."""

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.context import Json, err, open_both, out
from service.cli.printable import print_json
from service.cli.progress import phases

if TYPE_CHECKING:
    from projections.rebuild.diff import DiffReport

views: typer.Typer = typer.Typer()
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
    from projections.rebuild.parallel_replay import ReplayWorkers  # noqa: PLC0415
    from projections.rebuild.rebuild import rebuild as build  # noqa: PLC0415
    from projections.rebuild.replay import collect_garbage_rarely, replay  # noqa: PLC0415 - commands start fast one by one
    from service.cli.drift import drift_as_json  # noqa: PLC0415
    from service.known_log import check_served  # noqa: PLC0415

    os.nice(NICE)
    collect_garbage_rarely()
    started = time.monotonic()
    with open_both() as (settings, store, redis), phases(err) as advance:
        check_served(settings, store)
        workers = ReplayWorkers(parallel, settings.event_store_url, settings.redis_url_or_embedded)
        by = replay if parallel == 1 else workers.replay
        built = build(store, redis, replay=by, advance=advance)
    seconds = round(time.monotonic() - started, 3)
    if json:
        said = built._asdict() | {"seconds": seconds, **drift_as_json(built.diff)}
        del said["diff"]
        print_json(said)
    else:
        out.print(
            f"generation {built.generation} is live: {built.movies:,} movies from {built.events:,}"
            f" events, up to position {built.position:,}, in {seconds:,.1f} s"
        )
        if built.parked:
            out.print(f"{built.parked:,} cannot be applied; see cinelog parked list")
        if built.compared:
            _say(built.diff, f"the one before, {built.compared:,} fields of it:")
        else:
            out.print("there was none before that could be compared")
    raise typer.Exit(1 if built.diff.counts else 0)


@views.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Put right what differs.")] = False,
    json: Json = False,
) -> None:
    """Compare every row and index of the read model with the log.

    Exit 1 where something differs, also where --repair has put it right.
    """
    from projections.rebuild.replay import collect_garbage_rarely  # noqa: PLC0415
    from projections.rebuild.verify import verify as check  # noqa: PLC0415
    from service.cli.drift import drift_as_json  # noqa: PLC0415

    os.nice(NICE)
    collect_garbage_rarely()
    with open_both() as (_, store, redis), phases(err) as advance:
        for problem in (wrong := store.integrity.check_pages()):
            err.print(f"event store: {problem}", markup=False, soft_wrap=True)
        found = check(
            store,
            redis,
            repair=repair and not wrong,
            advance=lambda done, total: advance("verify", done, total),
        )
        head = store.head()
    compared = not (found.foreign or found.other_format)
    mended = repair and not wrong and bool(found.diff.counts) and compared
    if json:
        said = found._asdict() | {
            "log_position": head,
            "repaired": mended,
            "event_store": wrong,
            **drift_as_json(found.diff),
        }
        del said["diff"]
        print_json(said)
    elif found.foreign:
        out.print("the read model was built from another log; run cinelog rebuild")
    elif found.other_format:
        out.print(
            "the rows of the read model have the format of another release; the projection builds"
            " it anew, or run cinelog rebuild"
        )
    else:
        what = f"generation {found.generation} at position {found.position:,} of {head:,},"
        _say(found.diff, f"{what} {found.compared:,} fields of it:")
        if mended:
            out.print("all of that was put right")
        elif wrong and repair:
            out.print("nothing was put right, since the event store is damaged")
    raise typer.Exit(1 if found.diff.counts or wrong else 0)


def _say(drift: "DiffReport", what: str) -> None:
    from service.cli.drift import drift_lines  # noqa: PLC0415

    for line in drift_lines(drift, what):
        out.print(line, markup=False, soft_wrap=True)
