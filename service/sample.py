"""The sample: real movies for an empty store, so that a first look shows something."""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils.compat
from pydantic import SecretStr
from rich.console import Console

from commands.group_commit import Receipt, commit
from commands.messages import RegisterUser
from commands.store import Store
from service.importing import import_movies
from service.passwords import Hasher
from service.row_readers import read_rows
from service.settings import Settings

ACCOUNT = "demo"


def add_sample(settings: Settings, out: Console) -> None:
    """Add the sample movies and their account to an empty store; print its password, once."""
    store = Store.open(settings.event_store_url)
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
        if not isinstance(answer, Receipt):
            raise answer
        report = import_movies(store, read_rows(_file()), account)
    finally:
        store.close()
    out.print(f"{report.added:,} sample movies belong to the account {ACCOUNT}.")
    out.print(f"Its password, shown only now: {password}", markup=False)


def _file() -> Path:
    here = Path(__file__).parent
    packaged = here / "sample_movies.csv"
    return packaged if packaged.exists() else here.parent / "examples" / "movies.csv"
