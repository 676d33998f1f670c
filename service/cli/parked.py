"""``cinelog parked``: list, retry and drop movies with an event that cannot be applied."""

from collections.abc import Collection
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import AsJson, err, out, print_json, print_result
from service.cli.context import open_store_and_redis

parked = typer.Typer(
    name="parked",
    help="Movies that are parked because one of their events cannot be applied.",
    no_args_is_help=True,
)


@parked.command("list")
def show(as_json: AsJson = False) -> None:
    """List the parked movies, each with the event that cannot be applied and the error."""
    from projections.rebuild.parked import parked_in
    from projections.rebuild.verify import require_live

    with open_store_and_redis() as (_, _store, redis):
        marks = list(parked_in(require_live(redis)).values())
    if as_json:
        print_json([mark._asdict() for mark in marks])
        return
    table = Table("id", "since position", "event", "error", "dropped")
    for mark in marks:
        dropped = "yes" if mark.dropped else ""
        table.add_row(mark.id, f"{mark.position:,}", mark.type, escape(mark.error), dropped)
    out.print(table if marks else "no movie is parked")


@parked.command()
def retry(
    movie_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Parked movies; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply the events of parked movies again. Exit 1 if a movie stays parked."""
    from projections.rebuild.parked import parked_in
    from projections.rebuild.parked import retry as retry_movies
    from projections.rebuild.verify import require_live

    with open_store_and_redis() as (_, store, redis):
        live = require_live(redis)
        known = parked_in(live)
        _check_parked(movie_ids or [], known)
        outcomes = list(retry_movies(store, live, movie_ids or list(known)))
    refused = {key: error for key, error in outcomes if error is not None}
    applied = [key for key, error in outcomes if error is None]
    lines = [f"{key}: {error}" for key, error in refused.items()]
    lines.append(f"{len(applied):,} applied, {len(refused):,} still parked")
    print_result({"applied": applied, "refused": refused}, lines, as_json=as_json)
    raise typer.Exit(1 if refused else 0)


@parked.command("drop")
def discard(
    movie_id: Annotated[str, typer.Argument(metavar="ID", help="A parked movie.")],
    as_json: AsJson = False,
) -> None:
    """Remove a parked movie from the lists until a retry or a rebuild."""
    from projections.rebuild.parked import discard as discard_movie
    from projections.rebuild.parked import parked_in
    from projections.rebuild.verify import require_live

    with open_store_and_redis() as (_, _store, redis):
        live = require_live(redis)
        _check_parked([movie_id], parked_in(live))
        discard_movie(live, movie_id)
    print_result({"dropped": [movie_id]}, [f"{movie_id} is dropped"], as_json=as_json)


def _check_parked(movie_ids: list[str], known: Collection[str]) -> None:
    for movie_id in movie_ids:
        if movie_id not in known:
            err.print_line(f"{movie_id} is not parked")
            raise typer.Exit(1)
