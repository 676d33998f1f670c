"""``cinelog token``: create, list and revoke personal tokens of an account."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.aggregates.personal_tokens import DEFAULT_DAYS, MAX_DAYS, READ, Scope
from service.cli.accounts import carry_out, metadata_for, open_account
from service.cli.console import AsJson, err, out, print_result, report, usage_error

if TYPE_CHECKING:
    from commands.aggregates.personal_tokens import PersonalToken
    from commands.aggregates.user import User
    from commands.event_store.store import Store
    from commands.messages import Command

token = typer.Typer(
    name="token",
    help="Create, list and revoke personal tokens, which scripts send as Bearer.",
    no_args_is_help=True,
)
Username = Annotated[
    str, typer.Option("--as", metavar="USERNAME", help="The account, in any case.")
]


@token.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the token is for, 1 to 100 characters.")],
    username: Username,
    scope: Annotated[Scope, typer.Option(help="read: safe methods only. write: all.")] = READ,
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="Days until it expires.")] = (
        DEFAULT_DAYS
    ),
) -> None:
    """Print a new token, which is shown this once.

    Exit 1 if there is no such account, or it has 50 tokens.
    """
    import uuid_utils.compat

    from commands.errors import InvalidError
    from commands.messages import CreateToken
    from commands.rfc3339 import rfc3339
    from service.auth.personal_tokens import new_token
    from service.auth.schemas import PersonalTokenFields

    try:
        fields = PersonalTokenFields.of({"name": name, "scope": scope, "expires_in_days": days})
    except InvalidError as error:
        usage_error(str(error))
    with open_account(username) as (_, store, user):
        token_id = uuid_utils.compat.uuid7()
        made = new_token(user.id, token_id)
        command = CreateToken(
            **metadata_for(user),
            sid="",
            token_id=token_id,
            name=fields.name,
            scope=fields.scope,
            days=days,
            digest=made.digest,
        )
        created = _carry_out(store, command).tokens[str(token_id)]
    out.print_line(made.text)
    err.print_line(f"{created.id} of {user.username} expires at {rfc3339(created.expires_at)}")


@token.command("list")
def list_tokens(username: Username, as_json: AsJson = False) -> None:
    """List the valid tokens of an account, the newest first: id, end, scope, name.

    Exit 1 if there is no such account.
    """
    with open_account(username) as (_, _, user):
        rows = [_facts(one) for one in user.valid_tokens(datetime.now(UTC)).values()][::-1]
    lines = (f"{row['id']}  {row['expires_at']}  {row['scope']:5}  {row['name']}" for row in rows)
    print_result(rows, lines, as_json=as_json)


@token.command("revoke")
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the token, from token list.")
    ],
    username: Username,
) -> None:
    """Revoke a token; within three seconds no process accepts it any longer.

    Exit 1 if there is no such account or token.
    """
    from commands.messages import RevokeToken

    with open_account(username) as (_, store, user):
        carry_out(store, RevokeToken(**metadata_for(user), sid="", token_id=token_id))
    out.print_line(f"{token_id} is revoked")


def _carry_out(store: "Store", command: "Command") -> "User":
    """Carry out a command and return the account. Exits with 1 if there are too many tokens."""
    from commands.errors import InvalidError

    try:
        return carry_out(store, command)[0]
    except InvalidError as error:
        report(" ".join(text for texts in error.errors.values() for text in texts))
        raise typer.Exit(1) from None


def _facts(one: "PersonalToken") -> dict[str, str]:
    """Return a token as the API represents it."""
    from commands.rfc3339 import rfc3339

    return {
        "id": one.id,
        "name": one.name,
        "scope": one.scope,
        "created_at": rfc3339(one.created_at),
        "expires_at": rfc3339(one.expires_at),
    }
