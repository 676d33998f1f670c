"""``cinelog parked``: show, take up again and give up movies that are put aside."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.context import Json, err, open_both, out
from service.cli.printable import print_json

parked = typer.Typer(
    name="parked",
    help="Movies that are put aside because an event of theirs cannot be applied.",
    no_args_is_help=True,
)


@parked.command("list")
def show(json: Json = False) -> None:
    """Show what is parked: since which event, and why."""
    from projections.rebuild.parked import parked_in  # noqa: PLC0415
    from projections.rebuild.verify import live_generation  # noqa: PLC0415

    with open_both() as (_, _store, redis):
        marks = list(parked_in(live_generation(redis)).values())
    if json:
        print_json([mark._asdict() for mark in marks])
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
    from projections.rebuild.parked import parked_in  # noqa: PLC0415
    from projections.rebuild.parked import retry as take_up  # noqa: PLC0415
    from projections.rebuild.verify import live_generation  # noqa: PLC0415

    with open_both() as (_, store, redis):
        live = live_generation(redis)
        known = parked_in(live)
        _check_parked(movie_ids or [], known)
        outcomes = list(take_up(store, live, movie_ids or list(known)))
    refused = {key: error for key, error in outcomes if error is not None}
    applied = [key for key, error in outcomes if error is None]
    if json:
        print_json({"applied": applied, "refused": refused})
    else:
        for key, error in refused.items():
            out.print(f"{key}: {error}", markup=False, soft_wrap=True)
        out.print(f"{len(applied):,} applied, {len(refused):,} still parked")
    raise typer.Exit(1 if refused else 0)


@parked.command()
def discard(
    movie_id: Annotated[str, typer.Argument(metavar="ID", help="A parked movie.")],
    json: Json = False,
) -> None:
    """Give up on a parked movie: it leaves the lists until a retry or a rebuild."""
    from projections.rebuild.parked import discard as give_up  # noqa: PLC0415
    from projections.rebuild.parked import parked_in  # noqa: PLC0415
    from projections.rebuild.verify import live_generation  # noqa: PLC0415

    with open_both() as (_, _store, redis):
        live = live_generation(redis)
        _check_parked([movie_id], parked_in(live))
        give_up(live, movie_id)
    if json:
        print_json({"dropped": [movie_id]})
    else:
        out.print(f"{movie_id} is dropped", markup=False)


def _check_parked(ids: list[str], known: dict[str, Any]) -> None:
    for one in ids:
        if one not in known:
            err.print(f"{one} is not parked", markup=False, soft_wrap=True)
            raise typer.Exit(1)
