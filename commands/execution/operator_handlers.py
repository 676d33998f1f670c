"""One short function for each command of operators on an account."""

from collections.abc import Callable
from typing import Any

from commands.aggregates.user import User
from commands.errors import NotOperatorError, TokenNotValidError
from commands.execution.aggregate_reader import AggregateReader, CommandOutcome
from commands.messages import (
    CloseAccount,
    Command,
    GrantOperator,
    IssuePasswordLink,
    OperatorCommand,
    ResetPassword,
    RevokeOperator,
)


def _account(command: OperatorCommand, aggregates: AggregateReader) -> tuple[User, str]:
    """Return the account that is acted on, and who acts: "" is the command line.

    Raises NotOperatorError, and TokenNotValidError if the log does not have the account.
    """
    if command.operator is not None:
        operator = aggregates.get(User, command.operator)
        if operator is None:
            raise NotOperatorError
        operator.check_operator()
    user = aggregates.get(User, command.by)
    if user is None:
        raise TokenNotValidError
    return user, str(command.operator or "")


def grant_operator(command: GrantOperator, aggregates: AggregateReader) -> CommandOutcome:
    """Grant the role of an operator."""
    user, by = _account(command, aggregates)
    user.grant_operator(by, command.metadata())
    return CommandOutcome(user)


def revoke_operator(command: RevokeOperator, aggregates: AggregateReader) -> CommandOutcome:
    """Revoke the role of an operator."""
    user, by = _account(command, aggregates)
    user.revoke_operator(by, command.metadata())
    return CommandOutcome(user)


def issue_password_link(command: IssuePasswordLink, aggregates: AggregateReader) -> CommandOutcome:
    """Issue a password link, which replaces any earlier one."""
    user, by = _account(command, aggregates)
    user.issue_password_link(by, command.digest, command.metadata())
    return CommandOutcome(user)


def reset_password(command: ResetPassword, aggregates: AggregateReader) -> CommandOutcome:
    """Set a new password and end all sessions."""
    user, by = _account(command, aggregates)
    new = command.password_hash.get_secret_value()
    # A lost connection can hide a commit that happened: the retry finds the link used by itself.
    if aggregates.is_retry and user.password_hash == new:
        return CommandOutcome(user)
    if command.link is not None:
        user.check_password_link(command.link, command.at)
    user.reset_password(by, new, command.metadata())
    return CommandOutcome(user)


def close_account(command: CloseAccount, aggregates: AggregateReader) -> CommandOutcome:
    """Close an account."""
    user, by = _account(command, aggregates)
    user.close(by, command.metadata())
    return CommandOutcome(user)


OPERATOR_HANDLERS: dict[type[Command], Callable[[Any, AggregateReader], CommandOutcome]] = {
    GrantOperator: grant_operator,
    RevokeOperator: revoke_operator,
    IssuePasswordLink: issue_password_link,
    ResetPassword: reset_password,
    CloseAccount: close_account,
}
