"""``cinelog keys``: list, rotate and retire the keys that sign tokens, while the service runs."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.rfc3339 import rfc3339
from service.cli.console import AsJson, out, print_result, report
from service.settings import Settings

if TYPE_CHECKING:
    from service.auth.key_rotation import KeyInfo

keys = typer.Typer(
    name="keys", help="List, rotate and retire the keys that sign tokens.", no_args_is_help=True
)


@keys.command("list")
def show(as_json: AsJson = False) -> None:
    """List the keys, the signing one first, and how long tokens of the others stay valid."""
    from service.auth.key_rotation import list_keys

    settings = Settings.load()
    ttl_s = max(settings.access_ttl_s, settings.refresh_ttl_s)
    rows = [_facts(key, ttl_s) for key in list_keys(settings.signing_keys)]
    lines = (
        f"{row['kid']} {row['state']}" + (f" until {row['idle_from']}" if row["idle_from"] else "")
        for row in rows
    )
    print_result(rows, lines, as_json=as_json)


@keys.command("rotate")
def rotate_keys() -> None:
    """Make a new signing key; the previous keys keep verifying."""
    from service.auth.key_rotation import rotate

    kid = rotate(Settings.load().signing_keys)
    out.print_line(f"{kid} signs; tokens signed by earlier keys stay valid.")


# A kid may begin with a dash.
@keys.command("retire", context_settings={"ignore_unknown_options": True})
def retire_key(kid: Annotated[str, typer.Argument(help="Id of the key, from keys list.")]) -> None:
    """Remove a key that no longer signs; tokens signed by it are refused from then on."""
    from service.auth.key_rotation import retire

    if not retire(Settings.load().signing_keys, kid):
        report(f"{kid} signs; rotate first")
        raise typer.Exit(1)
    out.print_line(f"{kid} is retired; tokens signed by it are refused.")


def _facts(key: "KeyInfo", ttl_s: int) -> dict[str, str | None]:
    """Return a key as JSON; from ``idle_from`` on, every token it signed has expired."""
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
