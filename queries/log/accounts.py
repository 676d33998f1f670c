"""Accounts from the log: one account's history, all accounts, all operators.

Synchronous, like the store. Lists read the registrations, which lie between all other events, so
they go through the log once; a process then remembers their positions (8 bytes each).
"""

import threading
from array import array
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from commands.aggregates.user import User
from commands.event_store.event_codec import UNREADABLE, RecordedEvent
from commands.event_store.store import Store
from queries.log.history import actor
from queries.pages import NumberedPage, page_within

# Positions that one read of the database looks through.
_STEP = 10_000
_ROLES = (User.OperatorGranted.TOPIC, User.OperatorRevoked.TOPIC, User.AccountClosed.TOPIC)
_OF_TOKENS = (User.PersonalTokenCreated.TOPIC, User.PersonalTokenRevoked.TOPIC)


class AccountEntry(NamedTuple):
    """One event of an account, without names and hashes.

    ``session`` is the acting session, None on registration and for the command line;
    ``ended_session`` the one it ended; ``by`` the id of the operator who acted; ``token`` the
    personal token that was created or revoked.
    """

    version: int
    position: int
    type: str
    at: str
    request_id: str
    session: str | None
    ended_session: str | None
    by: str | None
    token: dict[str, str] | None

    def to_dict(self, username_of: Callable[[str], str]) -> dict[str, Any]:
        """Return the public JSON of the entry."""
        entry = self._asdict()
        by = entry.pop("by")
        return entry | {"actor": actor(username_of, by) if by else None}


def account_history(
    store: Store, account_id: UUID, page: int | None, page_size: int
) -> NumberedPage[AccountEntry]:
    """Return a page of an account's history, oldest first; None is the last page.

    Raises NotFoundError for a page out of range.
    """
    count = store.last_version(User, account_id)
    number, last_page = page_within(count, page, page_size)
    events = store.read_stream(account_id, (number - 1) * page_size, page_size)
    return NumberedPage(count, [_entry(event) for event in events], number, last_page)


def _token(data: dict[str, Any]) -> dict[str, str]:
    shown = ("name", "scope", "expires_at")
    return {"id": data["token_id"]} | {name: data[name] for name in shown}


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
        sid or None,
        ended,
        data.get("by") or None,
        _token(data) if event.type in _OF_TOKENS else None,
    )


class AccountSummary(NamedTuple):
    """An account as operators see it; ``created_at`` is RFC 3339 text."""

    id: str
    username: str
    created_at: str
    operator: bool
    closed: bool


def all_accounts(store: Store) -> Iterator[AccountSummary]:
    """Yield all accounts, the oldest first, in memory that does not grow with their number."""
    for created in _read_through(store, User.Created.TOPIC):
        yield from _summaries(store, created)


def all_operators(store: Store) -> Iterator[AccountSummary]:
    """Yield all operators, in the order in which they were first granted the role."""
    seen: set[str] = set()
    for granted in _read_through(store, User.OperatorGranted.TOPIC):
        found = dict.fromkeys(one.stream_id for one in granted if one.stream_id not in seen)
        seen.update(found)
        created = {one.stream_id: one for one in store.read_types_of(found, [User.Created.TOPIC])}
        summaries = _summaries(store, [created[one] for one in found if one in created])
        yield from (one for one in summaries if one.operator)


def account_named(store: Store, username: str) -> AccountSummary | None:
    """Return the account with a username, compared without regard to case, None if none has it."""
    account_id = store.account_id_of(username)
    created = [] if account_id is None else store.read_stream(account_id, limit=1)
    return next(iter(_summaries(store, created)), None)


def _read_through(store: Store, kind: str) -> Iterator[list[RecordedEvent]]:
    """Yield the events of a type in log order, a few at a time."""
    after, head = 0, store.head()
    while after < head:
        if found := store.read_types([kind], after, min(head, after + _STEP)):
            yield found
        after += _STEP


def _summaries(store: Store, created: list[RecordedEvent]) -> list[AccountSummary]:
    """Return the accounts of registrations, without those whose registration cannot be read."""
    operators, closed = set[str](), set[str]()
    for event in store.read_types_of([one.stream_id for one in created], _ROLES):
        if event.type == User.OperatorGranted.TOPIC:
            operators.add(event.stream_id)
        else:
            operators.discard(event.stream_id)
        if event.type == User.AccountClosed.TOPIC:
            closed.add(event.stream_id)
    return [
        AccountSummary(
            one.stream_id,
            one.data["username"],
            one.data["timestamp"],
            one.stream_id in operators,
            one.stream_id in closed,
        )
        for one in created
        if UNREADABLE not in one.data
    ]


class AccountList:
    """Pages of all accounts; remembers the positions of registrations. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._forget()

    def page(self, number: int | None, size: int) -> NumberedPage[AccountSummary]:
        """Return a page, the oldest accounts first; None is the last page.

        The first call reads through the log. Raises NotFoundError for a page out of range.
        """
        with self._lock:
            self._catch_up()
            count = len(self._positions)
            page, last_page = page_within(count, number, size)
            wanted = self._positions[(page - 1) * size : page * size]
        created = [one for at in wanted for one in self._store.read(at - 1, 1, until=at)]
        accounts = _summaries(self._store, created)
        return NumberedPage(count, accounts, page, last_page)

    def _forget(self) -> None:
        self._positions = array("q")
        self._reached, self._log = 0, ""

    def _catch_up(self) -> None:
        store = self._store
        if self._log != store.continuity.text:
            self._forget()
            self._log = store.continuity.text
        head = store.head()
        while self._reached < head:
            until = min(head, self._reached + _STEP)
            for event in store.read_types([User.Created.TOPIC], self._reached, until):
                self._positions.append(event.position)
            self._reached = until
