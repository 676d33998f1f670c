"""``cinelog rebuild`` and ``verify``: build the read model from the log, or compare the two."""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import AsJson, counted, err, print_result
from service.cli.context import open_store_and_redis
from service.cli.progress import phases

if TYPE_CHECKING:
    from projections.rebuild.diff import DiffReport
    from projections.rebuild.rebuild import RebuildResult
    from projections.rebuild.verify import VerifyResult

read_model: typer.Typer = typer.Typer()
# Both yield the processor to a service on the same machine.
NICE = 10
# Differences printed as text; JSON has all that the report kept.
MAX_LINES = 50


@read_model.command()
def rebuild(
    parallel: Annotated[
        int, typer.Option(help="Number of processes that read the log.", min=1, max=64)
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Build a new generation of the read model from the log and make it the live one.

    The service keeps serving meanwhile. The previous generation is compared
    with the new one: exit 1 if they differ.
    """
    from projections.rebuild.parallel_replay import ReplayWorkers
    from projections.rebuild.rebuild import rebuild as build
    from projections.rebuild.replay import replay
    from projections.rebuild.worker_process import collect_garbage_rarely
    from service.known_log import check_served
    from service.operations.reports import rebuild_facts

    os.nice(NICE)
    collect_garbage_rarely()
    started = time.monotonic()
    with open_store_and_redis() as (settings, store, redis), phases(err) as advance:
        check_served(settings, store)
        workers = ReplayWorkers(
            parallel,
            settings.event_store_url,
            settings.redis_url_or_embedded,
            settings.event_store_read_url,
        )
        by = replay if parallel == 1 else workers.replay
        source = store.reader(settings.event_store_read_url)
        built = build(store, redis, source=source, replay=by, advance=advance)
    seconds = round(time.monotonic() - started, 3)
    facts = rebuild_facts(built, seconds)
    print_result(facts, _rebuilt_lines(built, seconds), as_json=as_json)
    raise typer.Exit(1 if built.diff.counts else 0)


@read_model.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Correct what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every row and count of the read model with the log.

    Exit 1 if anything differs, even if --repair has corrected it.
    """
    from projections.rebuild.verify import verify as check
    from projections.rebuild.worker_process import collect_garbage_rarely
    from service.operations.reports import verify_facts

    os.nice(NICE)
    collect_garbage_rarely()
    with open_store_and_redis() as (settings, store, redis), phases(err) as advance:
        for problem in (damaged := store.integrity.check_pages()):
            err.print_line(f"event store: {problem}")
        found = check(
            store,
            redis,
            source=store.reader(settings.event_store_read_url),
            repair=repair and not damaged,
            advance=lambda done, total: advance("verify", done, total),
        )
        head = store.head()
    facts = verify_facts(found, head, damaged, repair=repair)
    lines = list(_verified_lines(found, head))
    if facts["repaired"]:
        lines.append("all differences were repaired")
    elif repair and damaged and not (found.foreign or found.other_format):
        lines.append("nothing was repaired: the event store is damaged")
    print_result(facts, lines, as_json=as_json)
    raise typer.Exit(1 if found.diff.counts or damaged else 0)


def _rebuilt_lines(built: "RebuildResult", seconds: float) -> Iterator[str]:
    yield (
        f"generation {built.generation} is live: {counted(built.movies, 'movie')} from"
        f" {counted(built.events, 'event')} up to position {built.position:,},"
        f" built in {seconds:,.1f} s"
    )
    if built.parked:
        yield f"parked: {counted(built.parked, 'movie')}; see cinelog parked list"
    if built.compared:
        yield from diff_lines(built.diff)
        yield f"previous generation: {_compared(built)}"
    else:
        yield "no previous generation to compare"


def _verified_lines(found: "VerifyResult", head: int) -> Iterator[str]:
    if found.foreign:
        yield "the read model was built from another log; run cinelog rebuild"
    elif found.other_format:
        yield (
            "another release built the read model, in another row format; the projection builds a"
            " new one, as does cinelog rebuild"
        )
    else:
        yield from diff_lines(found.diff)
        where = f"generation {found.generation} (position {found.position:,} of {head:,})"
        yield f"{where}: {_compared(found)}"


def _compared(report: "RebuildResult | VerifyResult") -> str:
    total = report.diff.counts.total()
    keys = ", ".join(f"{key}: {count:,}" for key, count in sorted(report.diff.counts.items()))
    differ = f"{total:,} {'differs' if total == 1 else 'differ'} ({keys})"
    return f"compared {counted(report.compared, 'field')}, {differ if total else 'no differences'}"


def diff_lines(diff: "DiffReport") -> Iterator[str]:
    """Yield the first differences as text, and how many more there are."""
    from service.operations.reports import texts_of

    for found in diff.first[:MAX_LINES]:
        field = found.field.decode(errors="replace").replace("\0", " ")
        wanted, shown = ("none" if text is None else text for text in texts_of(found))
        yield f"{found.key} {field}: {shown}, should be {wanted}"
    if (more := diff.counts.total() - MAX_LINES) > 0:
        yield f"… and {more:,} more"
