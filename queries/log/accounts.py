"""An account's history, from its own stream. Synchronous, like the store."""

from typing import NamedTuple
from uuid import UUID

from commands.event_store.event_codec import RecordedEvent
from commands.event_store.store import Store
from commands.user import User
from queries.log.history import HistoryPage
from queries.movie_query import page_within


class AccountEntry(NamedTuple):
    """One event of an account, without names and hashes.

    ``session`` is the acting session, None on registration; ``ended_session`` the one it ended.
    """

    version: int
    position: int
    type: str
    at: str
    request_id: str
    session: str | None
    ended_session: str | None


def account_history(
    store: Store, account_id: UUID, page: int | None, page_size: int
) -> HistoryPage[AccountEntry]:
    """Return a page of an account's history, oldest first; None is the last page.

    Raises NotFoundError for a page out of range.
    """
    count = store.last_version(User, account_id)
    number, last_page = page_within(count, page, page_size)
    events = store.read_stream(account_id, (number - 1) * page_size, page_size)
    return HistoryPage(count, [_entry(event) for event in events], number, last_page)


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
