"""What happened to an account, from its own stream. Synchronous, like the store."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from commands.errors import NotFoundError
from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from commands.user import User


class AccountEntry(NamedTuple):
    """One event of an account; of what it holds only the sessions, never a name or a hash.

    ``session`` is the one that acted, None on registering; ``ended_session`` one that ended alone.
    """

    version: int
    position: int
    type: str
    at: str
    request_id: str
    session: str | None
    ended_session: str | None


@dataclass(frozen=True)
class AccountPage:
    """A page of an account's history, oldest first; ``count`` entries in all."""

    count: int
    entries: list[AccountEntry]
    page: int
    last_page: int


def account_history(
    store: Store, account_id: UUID, page: int | None, page_size: int
) -> AccountPage:
    """Return a page of what happened to an account; None is the last page.

    Raises NotFoundError where there is no such page.
    """
    count = store.last_version(User, account_id)
    last_page = max(1, -(-count // page_size))
    number = last_page if page is None else page
    if number > last_page:
        raise NotFoundError("Invalid page.")
    events = store.read_stream(account_id, (number - 1) * page_size, page_size)
    return AccountPage(count, [_entry(event) for event in events], number, last_page)


def _entry(event: RecordedEvent) -> AccountEntry:
    data = event.data
    sid = data.get("sid")
    ended = sid if event.type == User.RefreshTokenReused.TOPIC else data.get("ended")
    return AccountEntry(
        event.version,
        event.position,
        event.type,
        data["timestamp"],
        data["request_id"],
        sid,
        ended,
    )
