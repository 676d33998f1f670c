"""The sample movies that ``cinelog serve --sample`` adds to an empty store."""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils.compat
from pydantic import SecretStr

from commands.event_store.known_log import Accept
from commands.execution.group_commit import CommandResult, commit
from commands.messages import RegisterUser
from service.auth.passwords import Hasher
from service.known_log import open_served
from service.observability.logs import is_text, json_line
from service.settings import Settings
from service.transfer.import_movies import import_movies
from service.transfer.row_reader import read_rows

ACCOUNT = "demo"


def add_sample(settings: Settings, accept: Accept = "nothing") -> None:
    """Add the sample movies and their account to an empty store; print its password, once.

    Raises LogMismatchError if the store is not the one that was served before.
    """
    store = open_served(settings, accept=accept)
    try:
        if store.head():
            return
        password = secrets.token_urlsafe(12)
        hasher = Hasher()
        account = uuid_utils.compat.uuid7()
        command = RegisterUser(
            by=account,
            request_id="sample",
            at=datetime.now(UTC),
            username=ACCOUNT,
            email="demo@localhost",
            first_name="",
            last_name="",
            password_hash=SecretStr(asyncio.run(hasher.hash(password))),
        )
        hasher.close()
        (answer,) = commit(store, [command])
        if not isinstance(answer, CommandResult):
            raise answer
        report = import_movies(store, read_rows(_file()), account)
    finally:
        store.close()
    _print_password(settings, report.added, password)


def _print_password(settings: Settings, added: int, password: str) -> None:
    """Print the password on standard output; it is not stored."""
    message = f"{added:,} sample movies belong to the account {ACCOUNT}."
    if is_text(settings.log_format, 1):
        print(f"{message}\nIts password, shown only once: {password}", flush=True)  # noqa: T201
    else:
        print(json_line(message, account=ACCOUNT, password=password), flush=True)  # noqa: T201


def _file() -> Path:
    here = Path(__file__).parent
    packaged = here / "sample_movies.csv"
    return packaged if packaged.exists() else here.parents[1] / "examples" / "movies.csv"
