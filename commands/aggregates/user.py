"""The User aggregate with its sessions.

1. A username and an e-mail belong to one account at a time, without regard to case
   (``commands/aggregates/claims.py``).
2. Personal data stands in the account's own stream and nowhere else.
3. A session's id begins with the version of the account when its password was checked. A new
   password ends all sessions opened before it except the current one, signing out everywhere ends
   all. So a concurrent log-in with the old password is refused, without any clock.
4. An ended session stays ended, and can no longer change the account.
5. An operator is an account with that role. A closed account has no role, opens no session and is
   never opened again.
6. The last password link issued is good for one new password within an hour, unless the password
   changes or the account is closed before. The log has its digest only.
7. A personal token is created and revoked from a session, or by the command line
   (``commands/aggregates/personal_tokens.py``).
"""

from datetime import datetime, timedelta
from uuid import UUID

from eventsourcing.domain import Aggregate

from commands.aggregates import user_events
from commands.aggregates.movie import EventMetadata
from commands.aggregates.personal_tokens import NOT_FOUND, PersonalToken, check_room, unexpired
from commands.errors import (
    AccountClosedError,
    InvalidError,
    NoActiveAccountError,
    NotFoundError,
    NotOperatorError,
    TokenNotValidError,
)
from commands.rfc3339 import rfc3339

WRONG_OLD = "Your old password was entered incorrectly. Please enter it again."
WRONG_LINK = "This link is not valid: it was used or replaced, or it has expired."


class User(user_events.Account, Aggregate):
    """An account: its names, its password, and its ended sessions."""

    TOPIC = "User"

    # Registered under their stored names.
    Event = user_events.Event
    Created = user_events.Created
    SessionOpened = user_events.SessionOpened
    PasswordRehashed = user_events.PasswordRehashed
    PasswordChanged = user_events.PasswordChanged
    SessionEnded = user_events.SessionEnded
    SessionsEnded = user_events.SessionsEnded
    RefreshTokenReused = user_events.RefreshTokenReused
    PersonalTokenCreated = user_events.PersonalTokenCreated
    PersonalTokenRevoked = user_events.PersonalTokenRevoked
    OperatorGranted = user_events.OperatorGranted
    OperatorRevoked = user_events.OperatorRevoked
    PasswordLinkIssued = user_events.PasswordLinkIssued
    PasswordReset = user_events.PasswordReset
    AccountClosed = user_events.AccountClosed

    def __init__(
        self, username: str, email: str, first_name: str, last_name: str, password_hash: str
    ) -> None:
        self.username = username
        self.email = email
        self.first_name = first_name
        self.last_name = last_name
        self.password_hash = password_hash
        self.password_version = 1
        self.active = True
        self.operator = False
        self.password_link = None
        self.last_opened = ""
        self.sessions_valid_from = 0
        self.kept_session = None
        self.ended = frozenset()
        self.tokens = {}

    @classmethod
    def register(cls, account_id: UUID, *, metadata: EventMetadata, **fields: str) -> "User":
        """Return a new account; ``fields`` are those of ``Created``."""
        return cls._create(
            cls.Created,
            id=account_id,
            **fields,
            request_id=metadata.request_id,
            timestamp=metadata.timestamp,
        )

    def __repr__(self) -> str:
        return f"User(id={self.id}, username={self.username!r})"

    def check_session(self, sid: str) -> None:
        """Raise TokenNotValidError if a session has ended."""
        if self.has_ended(sid):
            raise TokenNotValidError

    def open_session(self, sid: str, metadata: EventMetadata) -> None:
        """Open a session whose password was correct at the version in ``sid``."""
        if sid == self.last_opened:
            return
        if not self.active or self.has_ended(sid):
            raise NoActiveAccountError
        self._trigger(self.SessionOpened, metadata, sid=sid)

    def rehash_password(
        self, password_version: int, password_hash: str, metadata: EventMetadata
    ) -> None:
        """Store another hash of the same password, unless a new one was set meanwhile."""
        if self.password_version == password_version and self.password_hash != password_hash:
            self._trigger(self.PasswordRehashed, metadata, password_hash=password_hash)

    def change_password(
        self, sid: str, password_version: int, password_hash: str, metadata: EventMetadata
    ) -> None:
        """Set a new password; the old one was checked against that of ``password_version``."""
        if self.password_hash == password_hash:
            return
        self.check_session(sid)
        if self.password_version != password_version:
            raise InvalidError({"old_password": [WRONG_OLD]})
        self._trigger(self.PasswordChanged, metadata, sid=sid, password_hash=password_hash)

    def end_session(self, sid: str, ended: str, metadata: EventMetadata) -> None:
        """End one session, from another session or from itself."""
        if not self.has_ended(ended):
            self.check_session(sid)
            self._trigger(self.SessionEnded, metadata, sid=sid, ended=ended)

    def end_sessions(self, sid: str, metadata: EventMetadata) -> None:
        """End all sessions, the acting one included."""
        self.check_session(sid)
        self._trigger(self.SessionsEnded, metadata, sid=sid)

    def report_reuse(self, sid: str, metadata: EventMetadata) -> None:
        """End a session whose refresh token was used twice."""
        if not self.has_ended(sid):
            self._trigger(self.RefreshTokenReused, metadata, sid=sid)

    def valid_tokens(self, at: datetime) -> dict[str, PersonalToken]:
        """Return the personal tokens that are valid at a time by their ids, the oldest first."""
        return unexpired(self.tokens, at) if self.active else {}

    def create_token(  # noqa: PLR0913 - the facts of a token
        self,
        sid: str,
        token_id: str,
        *,
        name: str,
        scope: str,
        days: int,
        digest: str,
        metadata: EventMetadata,
    ) -> None:
        """Create a personal token for a number of days, from a session or the command line ("")."""
        if token_id in self.tokens:
            return
        self._check_actor(sid)
        self.check_active()
        check_room(self.tokens, metadata.timestamp)
        self._trigger(
            self.PersonalTokenCreated,
            metadata,
            sid=sid,
            token_id=token_id,
            name=name,
            scope=scope,
            expires_at=rfc3339(metadata.timestamp + timedelta(days=days)),
            digest=digest,
        )

    def revoke_token(self, sid: str, token_id: str, metadata: EventMetadata) -> None:
        """Revoke a valid personal token, from a session or the command line ("").

        Raises NotFoundError if there is no such token.
        """
        self._check_actor(sid)
        token = self.valid_tokens(metadata.timestamp).get(token_id)
        if token is None:
            raise NotFoundError(NOT_FOUND)
        self._trigger(
            self.PersonalTokenRevoked,
            metadata,
            sid=sid,
            token_id=token.id,
            name=token.name,
            scope=token.scope,
            expires_at=rfc3339(token.expires_at),
        )

    def _check_actor(self, sid: str) -> None:
        if sid:
            self.check_session(sid)

    def check_operator(self) -> None:
        """Raise NotOperatorError unless this account is an operator."""
        if not self.operator:
            raise NotOperatorError

    def check_active(self) -> None:
        """Raise AccountClosedError if this account is closed."""
        if not self.active:
            raise AccountClosedError

    def grant_operator(self, by: str, metadata: EventMetadata) -> None:
        """Grant the role of an operator."""
        self.check_active()
        if not self.operator:
            self._trigger(self.OperatorGranted, metadata, by=by)

    def revoke_operator(self, by: str, metadata: EventMetadata) -> None:
        """Revoke the role of an operator."""
        if self.operator:
            self._trigger(self.OperatorRevoked, metadata, by=by)

    def issue_password_link(self, by: str, digest: str, metadata: EventMetadata) -> None:
        """Make the token of this digest good for one new password, instead of any earlier one."""
        self.check_active()
        if self.password_link is None or self.password_link.digest != digest:
            self._trigger(self.PasswordLinkIssued, metadata, by=by, digest=digest)

    def check_password_link(self, digest: str, at: datetime) -> None:
        """Raise InvalidError unless the token of this digest is good for a new password."""
        link = self.password_link
        if link is None or link.digest != digest or at >= link.expires_at:
            raise InvalidError({"token": [WRONG_LINK]})

    def reset_password(self, by: str, password_hash: str, metadata: EventMetadata) -> None:
        """Set a new password without the old one, and end all sessions."""
        self.check_active()
        if self.password_hash != password_hash:
            self._trigger(self.PasswordReset, metadata, by=by, password_hash=password_hash)

    def close(self, by: str, metadata: EventMetadata) -> None:
        """Close the account for ever; its movies stay."""
        if self.active:
            self._trigger(self.AccountClosed, metadata, by=by)

    def _trigger(
        self, kind: type[user_events.Event], metadata: EventMetadata, **facts: str
    ) -> None:
        self.trigger_event(
            kind, request_id=metadata.request_id, timestamp=metadata.timestamp, **facts
        )
