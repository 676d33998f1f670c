"""The events of an account, and the state that they make.

Stored for ever: names and fields of these events stand in every log. Change one only by a new
``class_version`` with an upcast. ``sid`` is the acting session: "" for the command line, and for a
personal token that is revoked by itself. ``by`` is the account of the acting operator: "" for the
command line, and for the holder of a password link.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from eventsourcing.domain import Aggregate

from commands.aggregates.personal_tokens import PersonalToken, unexpired
from commands.rfc3339 import parse_rfc3339

LINK_TTL = timedelta(hours=1)


class PasswordLink(NamedTuple):
    """A link that sets a new password: the digest of its token, and when it expires."""

    digest: str
    expires_at: datetime


class Account:
    """The state of an account."""

    username: str
    email: str
    first_name: str
    last_name: str
    password_hash: str
    password_version: int
    """The version of the account that set the password."""
    active: bool
    operator: bool
    password_link: PasswordLink | None
    last_opened: str
    """The session that was opened last."""
    sessions_valid_from: int
    """Sessions opened before this version have ended, except ``kept_session``."""
    kept_session: str | None
    ended: frozenset[str]
    """Sessions that ended by themselves."""
    tokens: dict[str, PersonalToken]

    def end_all_before(self, version: int, except_for: str | None = None) -> None:
        """Mark all sessions opened before ``version`` as ended."""
        self.sessions_valid_from, self.kept_session = version, except_for
        self.ended = frozenset()  # all of them were opened before

    def has_ended(self, sid: str) -> bool:
        """Return whether a session of this account has ended."""
        if sid in self.ended:
            return True
        return sid != self.kept_session and _opened_at(sid) < self.sessions_valid_from


def session_id(version: int, secret: str) -> str:
    """Return the id of a session whose password was checked at ``version`` of the account."""
    return f"{version}.{secret}"


def _opened_at(sid: str) -> int:
    version = sid.partition(".")[0]
    return int(version) if version.isascii() and version.isdigit() else 0


class Event(Aggregate.Event):
    request_id: str


class Created(Event, Aggregate.Created):
    TOPIC = "UserRegistered"
    username: str
    email: str
    first_name: str
    last_name: str
    password_hash: str


class SessionOpened(Event):
    TOPIC = "SessionOpened"
    sid: str

    def apply(self, aggregate: Account) -> None:
        aggregate.last_opened = self.sid


class PasswordRehashed(Event):
    TOPIC = "PasswordRehashed"
    password_hash: str

    def apply(self, aggregate: Account) -> None:
        aggregate.password_hash = self.password_hash


class PasswordChanged(Event):
    TOPIC = "PasswordChanged"
    sid: str
    password_hash: str

    def apply(self, aggregate: Account) -> None:
        aggregate.password_hash = self.password_hash
        aggregate.password_version = self.originator_version
        aggregate.end_all_before(self.originator_version, except_for=self.sid)
        aggregate.password_link = None


class SessionEnded(Event):
    TOPIC = "SessionEnded"
    sid: str
    ended: str

    def apply(self, aggregate: Account) -> None:
        aggregate.ended |= {self.ended}


class SessionsEnded(Event):
    TOPIC = "SessionsEnded"
    sid: str

    def apply(self, aggregate: Account) -> None:
        aggregate.end_all_before(self.originator_version)


class RefreshTokenReused(Event):
    TOPIC = "RefreshTokenReused"
    sid: str

    def apply(self, aggregate: Account) -> None:
        aggregate.ended |= {self.sid}


class PersonalTokenCreated(Event):
    TOPIC = "PersonalTokenCreated"
    sid: str
    token_id: str
    name: str
    scope: str
    expires_at: str
    digest: str

    def apply(self, aggregate: Account) -> None:
        created = PersonalToken(
            self.token_id,
            self.name,
            self.scope,
            self.digest,
            self.timestamp,
            parse_rfc3339(self.expires_at),
        )
        aggregate.tokens = unexpired(aggregate.tokens, self.timestamp) | {created.id: created}


class PersonalTokenRevoked(Event):
    TOPIC = "PersonalTokenRevoked"
    sid: str
    token_id: str
    name: str
    scope: str
    expires_at: str

    def apply(self, aggregate: Account) -> None:
        aggregate.tokens = {
            token_id: token
            for token_id, token in aggregate.tokens.items()
            if token_id != self.token_id
        }


class OperatorGranted(Event):
    TOPIC = "OperatorGranted"
    by: str

    def apply(self, aggregate: Account) -> None:
        aggregate.operator = True


class OperatorRevoked(Event):
    TOPIC = "OperatorRevoked"
    by: str

    def apply(self, aggregate: Account) -> None:
        aggregate.operator = False


class PasswordLinkIssued(Event):
    TOPIC = "PasswordLinkIssued"
    by: str
    digest: str

    def apply(self, aggregate: Account) -> None:
        aggregate.password_link = PasswordLink(self.digest, self.timestamp + LINK_TTL)


class PasswordReset(Event):
    TOPIC = "PasswordReset"
    by: str
    password_hash: str

    def apply(self, aggregate: Account) -> None:
        aggregate.password_hash = self.password_hash
        aggregate.password_version = self.originator_version
        aggregate.end_all_before(self.originator_version)
        aggregate.password_link = None


class AccountClosed(Event):
    TOPIC = "AccountClosed"
    by: str

    def apply(self, aggregate: Account) -> None:
        aggregate.active = aggregate.operator = False
        aggregate.end_all_before(self.originator_version)
        aggregate.password_link = None
