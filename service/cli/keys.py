"""``cinelog keys``: list, rotate and retire the keys that sign tokens, while the service runs."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.rfc3339 import rfc3339
from service.cli.context import Json, err, out
from service.cli.printable import print_json
from service.settings import Settings

if TYPE_CHECKING:
    from service.auth.key_rotation import Listed

keys = typer.Typer(
    name="keys", help="List, rotate and retire the keys that sign tokens.", no_args_is_help=True
)


@keys.command("list")
def show(json: Json = False) -> None:
    """Show the keys, the one that signs first, and until when tokens of the others may be good."""
    from service.auth.key_rotation import list_keys  # noqa: PLC0415 - commands start fast one by one

    settings = Settings.load()
    ttl_s = max(settings.access_ttl_s, settings.refresh_ttl_s)
    rows = [_shown(key, ttl_s) for key in list_keys(settings.signing_keys)]
    if json:
        print_json(rows)
        return
    for row in rows:
        until = f" until {row['idle_from']}" if row["idle_from"] else ""
        out.print(f"{row['kid']} {row['state']}{until}", markup=False, soft_wrap=True)


@keys.command("rotate")
def make_new() -> None:
    """Let a new key sign from now on; those before it go on to verify."""
    from service.auth.key_rotation import rotate  # noqa: PLC0415

    kid = rotate(Settings.load().signing_keys)
    out.print(f"{kid} signs; what earlier keys signed stays good.", markup=False, soft_wrap=True)


# A kid may begin with a dash.
@keys.command("retire", context_settings={"ignore_unknown_options": True})
def drop(kid: Annotated[str, typer.Argument(help="As keys list shows it.")]) -> None:
    """Remove a key that no longer signs; what it signed is refused from then on."""
    from service.auth.key_rotation import retire  # noqa: PLC0415

    if not retire(Settings.load().signing_keys, kid):
        err.print(f"cinelog: {kid} signs; rotate first", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    out.print(f"{kid} is retired; what it signed is refused.", markup=False, soft_wrap=True)


def _shown(key: "Listed", ttl_s: int) -> dict[str, str | None]:
    """Return what is told of a key; from ``idle_from`` on nothing that it signed is good."""
    idle_from = None if key.superseded_at is None else key.superseded_at + ttl_s
    return {
        "kid": key.kid,
        "state": "signs" if key.signs else "verifies",
        "made_at": _time(key.made_at),
        "superseded_at": _time(key.superseded_at),
        "idle_from": _time(idle_from),
    }


def _time(since_1970_s: int | None) -> str | None:
    if since_1970_s is None:
        return None
    return rfc3339(datetime.fromtimestamp(since_1970_s, UTC))
