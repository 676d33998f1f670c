"""``cinelog operator`` and ``cinelog account``: the role of operators, and accounts."""

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.console import (
    AsJson,
    err,
    out,
    print_json,
    print_json_array,
    print_result,
    report,
    usage_error,
)
from service.cli.context import load_settings, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from commands.aggregates.user import User
    from commands.event_store.store import Store
    from commands.messages import Command
    from queries.log.accounts import AccountSummary
    from service.settings import Settings

operator = typer.Typer(
    name="operator",
    help="Accounts that may use the operators' API: /api/v1/ops/.",
    no_args_is_help=True,
)
account = typer.Typer(
    name="account", help="List and close accounts, and set their passwords.", no_args_is_help=True
)
Username = Annotated[str, typer.Argument(metavar="USERNAME", help="An account, in any case.")]


@operator.command("add")
def add_operator(username: Username) -> None:
    """Make an account an operator. Exit 1 if there is no such account, or it is closed."""
    from commands.messages import GrantOperator

    with open_account(username) as (_, store, user):
        _, changed = carry_out(store, GrantOperator(**metadata_for(user)))
    out.print_line(f"{user.username} is {'now' if changed else 'already'} an operator")


@operator.command("remove")
def remove_operator(username: Username) -> None:
    """Make an account an ordinary one again. Exit 1 if there is no such account."""
    from commands.messages import RevokeOperator

    with open_account(username) as (_, store, user):
        _, changed = carry_out(store, RevokeOperator(**metadata_for(user)))
    out.print_line(f"{user.username} is {'no longer' if changed else 'not'} an operator")


@operator.command("list")
def list_operators(as_json: AsJson = False) -> None:
    """List the operators."""
    from queries.log.accounts import all_operators

    with open_store(load_settings()) as store:
        _print_accounts(all_operators(store), as_json=as_json)


@account.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """List all accounts, the oldest first: time of registration, id, role, username."""
    from queries.log.accounts import all_accounts

    with open_store(load_settings()) as store:
        _print_accounts(all_accounts(store), as_json=as_json)


@account.command("password")
def set_password(
    username: Username,
    link: Annotated[
        bool,
        typer.Option("--link", help="Print a link that sets one password within an hour instead."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Set a new password and end all sessions of an account.

    The password is asked for on a terminal, else it is the first line of
    standard input. With --link nothing changes until the link is used. Exit
    1 if there is no such account, it is closed, or the password is refused.
    """
    from pydantic import SecretStr

    from commands.messages import ResetPassword

    with open_account(username) as (settings, store, user):
        user.check_active()
        if link:
            _print_link(settings, store, user, as_json=as_json)
            return
        password = _read_password(user)
        command = ResetPassword(**metadata_for(user), password_hash=SecretStr(_hash(password)))
        carry_out(store, command)
    line = f"{user.username} has a new password; all sessions have ended"
    print_result({"username": user.username}, [line], as_json=as_json)


@account.command("close")
def close_account(
    username: Username,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Close an account for ever. Its movies stay; its sessions and tokens end.

    Exit 1 if there is no such account, or the answer is no.
    """
    from commands.messages import CloseAccount

    with open_account(username) as (_, store, user):
        if user.active and not yes:
            if not sys.stdin.isatty():
                usage_error("standard input is no terminal to ask on; give --yes")
            if not typer.confirm(f"Close the account {user.username} for ever?", err=True):
                raise typer.Exit(1)
        _, closed = carry_out(store, CloseAccount(**metadata_for(user)))
    out.print_line(f"{user.username} is {'closed' if closed else 'already closed'}")


@contextmanager
def open_account(username: str) -> "Iterator[tuple[Settings, Store, User]]":
    """Open the event store and yield an account. Exits with 1 if there is none."""
    from service.known_log import check_served

    settings = load_settings()
    with open_store(settings) as store:
        check_served(settings, store)
        account_id = store.account_id_of(username)
        if account_id is None:
            report(f"there is no account {username!r}")
            raise typer.Exit(1)
        yield settings, store, store.user(account_id)


def metadata_for(user: "User") -> dict[str, Any]:
    """Return the fields that every command of the command line on an account has."""
    from datetime import UTC, datetime

    import uuid_utils

    return {"by": user.id, "request_id": f"cli-{uuid_utils.uuid7()}", "at": datetime.now(UTC)}


def carry_out(store: "Store", command: "Command") -> "tuple[User, bool]":
    """Carry out a command; return the account and whether it changed.

    Raises what it is refused with.
    """
    from commands.execution.group_commit import CommandResult, commit

    (result,) = commit(store, [command])
    if not isinstance(result, CommandResult):
        raise result
    return result.user, result.appended


def _read_password(user: "User") -> str:
    """Return a new password for an account. Exits with 1 if it is refused."""
    from commands.errors import InvalidError
    from service.auth.schemas import NewPassword, read_new_password

    try:
        given: NewPassword = read_new_password(_ask(), user)
    except InvalidError as error:
        for problem in error.errors["password"]:
            report(problem)
        raise typer.Exit(1) from None
    return given.password


def _ask() -> str:
    if sys.stdin.isatty():
        answer: str = typer.prompt(
            "New password", hide_input=True, confirmation_prompt="Repeat it", err=True
        )
        return answer
    return sys.stdin.readline().rstrip("\r\n")


def _hash(password: str) -> str:
    import asyncio

    from service.auth.passwords import Hasher

    hasher = Hasher(threads=1)
    try:
        return asyncio.run(hasher.hash(password))
    finally:
        hasher.close()


def _print_link(settings: "Settings", store: "Store", user: "User", *, as_json: bool) -> None:
    from commands.messages import IssuePasswordLink
    from commands.rfc3339 import rfc3339
    from service.auth.password_links import new_token, page_url
    from service.urls import served_url

    token = new_token(user.id)
    command = IssuePasswordLink(**metadata_for(user), digest=token.digest)
    changed, _ = carry_out(store, command)
    assert changed.password_link is not None  # noqa: S101 - it was issued just now
    url = page_url(settings.public_url or served_url(settings.host, str(settings.port)), token)
    expires_at = rfc3339(changed.password_link.expires_at)
    if as_json:
        print_json({"url": url, "expires_at": expires_at})
        return
    out.print_line(url)
    err.print_line(f"good for one new password of {user.username}, until {expires_at}")


def _print_accounts(accounts: "Iterable[AccountSummary]", *, as_json: bool) -> None:
    """Print accounts as they come, one to a line: their number is not bounded."""
    if as_json:
        print_json_array(one._asdict() for one in accounts)
        return
    for one in accounts:
        role = "closed" if one.closed else "operator" if one.operator else "-"
        out.print_line(f"{one.created_at}  {one.id}  {role:8}  {one.username}")
