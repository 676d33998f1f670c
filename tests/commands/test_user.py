"""The User aggregate: which sessions live on, and what each decision leaves in the stream."""

import pytest

from commands.errors import (
    CinelogError,
    InvalidError,
    NoActiveAccountError,
    TokenNotValidError,
    TokenReusedError,
)
from commands.group_commit import CommandResult, commit
from commands.messages import ChangePassword, EndSession, EndSessions, OpenSession, ReportReuse
from commands.user import User, session_id
from tests.controls import ANN, NOON, metadata, register

OLD, NEW = "$argon2id$old", "$argon2id$new"


class Account:
    """Reads as account().open("a").change_password("a").lives("a")."""

    def __init__(self):
        self.user = User._create(
            User.Created,
            id=ANN,
            username="ann",
            email="ann@example.org",
            first_name="",
            last_name="",
            password_hash=OLD,
            request_id="request-1",
            timestamp=NOON,
        )
        self.user.collect_events()
        self.sids = {}
        self.error = None

    def seen(self, name):
        """A password is checked: from now on the session has an id."""
        self.sids[name] = session_id(self.user.version, name)
        return self

    def opens(self, name):
        return self._try(lambda: self.user.open_session(self.sids[name], metadata()))

    def open(self, *names):
        for name in names:
            self.seen(name).opens(name)
        return self

    def change_password(self, name, to=NEW, password_version=None):
        known = self.user.password_version if password_version is None else password_version
        return self._try(lambda: self.user.change_password(self.sids[name], known, to, metadata()))

    def rehash(self, to, password_version=1):
        return self._try(lambda: self.user.rehash_password(password_version, to, metadata()))

    def end(self, name, by=None):
        acting, ended = self.sids[by or name], self.sids[name]
        return self._try(lambda: self.user.end_session(acting, ended, metadata()))

    def end_all(self, name):
        return self._try(lambda: self.user.end_sessions(self.sids[name], metadata()))

    def reuse(self, name):
        return self._try(lambda: self.user.report_reuse(self.sids[name], metadata()))

    def _try(self, decide):
        self.happened = []
        try:
            decide()
        except CinelogError as error:
            self.error = error
        self.happened = self.user.collect_events()
        return self

    def then(self, kind, **facts):
        assert self.error is None
        (event,) = self.happened
        assert type(event) is kind
        assert (event.request_id, event.timestamp) == ("request-1", NOON)
        sessions = {"sid", "ended"}
        expected = {n: self.sids[v] if n in sessions else v for n, v in facts.items()}
        assert {name: getattr(event, name) for name in facts} == expected
        return self

    def then_nothing(self):
        assert self.error is None
        assert not self.happened
        return self

    def then_refused(self, kind):
        assert type(self.error) is kind
        assert not self.happened
        self.error = None
        return self

    def living(self, *names):
        assert {name for name, sid in self.sids.items() if not self.user.has_ended(sid)} == {*names}
        return self


def account():
    return Account()


def test_a_session_is_opened_once():
    account().seen("a").opens("a").then(User.SessionOpened, sid="a").opens("a").then_nothing()


def test_one_session_ends():
    """From another or from itself, once, and the others live on."""
    ended = (
        account().open("a", "b", "c").end("a", by="b").then(User.SessionEnded, sid="b", ended="a")
    )
    ended.living("b", "c").end("a", by="b").then_nothing()
    ended.end("c").then(User.SessionEnded, sid="c", ended="c").living("b")


def test_signing_out_everywhere_ends_all():
    """Those opened afterwards live."""
    account().open("a", "b").end("b", by="a").end_all("a").then(
        User.SessionsEnded, sid="a"
    ).living().open("c").living("c")


def test_a_new_password_spares_the_session_it_was_set_from():
    changed = account().open("a", "b").change_password("a")
    changed.then(User.PasswordChanged, sid="a", password_hash=NEW).living("a")
    changed.open("c").living("a", "c").change_password("c", "$argon2id$3").living("c")


def test_the_spared_session_can_end():
    account().open("a", "b").change_password("a").end("a").living()
    account().open("a", "b").change_password("a").open("c").end_all("c").living()


def test_an_ended_session_does_nothing_more_to_the_account():
    ended = account().open("a", "b").end("a", by="b")
    for attempt in (
        lambda: ended.change_password("a"),
        lambda: ended.end("b", by="a"),
        lambda: ended.end_all("a"),
    ):
        attempt().then_refused(TokenNotValidError).living("b")


def test_an_ended_session_is_never_spared():
    """Nor does it come back when the list of those that ended is begun anew."""
    account().open("a", "b").end("a").end_all("b").living().change_password("a").then_refused(
        TokenNotValidError
    ).living()


def test_a_log_in_under_way_with_the_old_password_comes_too_late():
    """Its password was right when it was checked, and is not any more."""
    late = account().open("a").seen("late").change_password("a")
    late.opens("late").then_refused(NoActiveAccountError).living("a")
    account().open("a").seen("late").end_all("a").opens("late").then_refused(NoActiveAccountError)


def test_of_two_changes_at_once_one_wins():
    """The second gave a password that is no longer the old one."""
    twice = account().open("a").change_password("a", password_version=1)
    twice.change_password("a", "$argon2id$other", password_version=1).then_refused(InvalidError)
    assert twice.user.password_hash == NEW
    twice.change_password("a", NEW, password_version=1).then_nothing()


def test_a_rehash_is_no_new_password():
    """It ends no session, and comes too late after a new password."""
    rehashed = account().open("a", "b").rehash("$argon2id$better")
    rehashed.then(User.PasswordRehashed, password_hash="$argon2id$better").living("a", "b")
    rehashed.rehash("$argon2id$better").then_nothing()
    rehashed.change_password("a", password_version=1).then(User.PasswordChanged)
    rehashed.rehash("$argon2id$older", password_version=1).then_nothing()


def test_a_reused_token_ends_its_session_once():
    reused = account().open("a", "b").reuse("a").then(User.RefreshTokenReused, sid="a").living("b")
    reused.reuse("a").then_nothing()


@pytest.mark.parametrize("sid", ["s-1", "", "x.1", "-1.x", "٣.x"])
def test_an_id_of_another_form_is_of_a_session_opened_before_all(sid):
    someone = account().open("a")
    assert not someone.user.has_ended(sid)
    someone.end_all("a")
    assert someone.user.has_ended(sid)


def test_the_commands_append_to_the_accounts_stream(store):
    """From opening to the last end, as the service sends them."""
    opened = commit(store, [register(ANN)])[0].aggregate
    by = {"by": ANN, "request_id": "request-2", "at": NOON}
    first, second, third = (session_id(opened.version, name) for name in "abc")
    answers = commit(
        store,
        [
            *(OpenSession(**by, sid=sid, password_version=1) for sid in (first, second, third)),
            EndSession(**by, sid=first, ended=second),
            ReportReuse(**by, sid=third),
            ChangePassword(**by, sid=first, password_version=1, password_hash=NEW),
            EndSessions(**by, sid=first),
            OpenSession(
                **by, sid=session_id(7, "d"), password_version=7, renewed_hash="$argon2id$4"
            ),
        ],
    )
    assert all(isinstance(answer, CommandResult) for answer in answers[:-1])
    assert isinstance(answers[-1], NoActiveAccountError)
    (answer,) = commit(
        store,
        [OpenSession(**by, sid=session_id(8, "e"), password_version=7, renewed_hash="$argon2id$5")],
    )
    assert answer.aggregate.password_hash == "$argon2id$5"
    kinds = [event.type for event in store.read_stream(ANN)]
    assert kinds == [
        "UserRegistered",
        *["SessionOpened"] * 3,
        "SessionEnded",
        "RefreshTokenReused",
        "PasswordChanged",
        "SessionsEnded",
        "SessionOpened",
        "PasswordRehashed",
    ]
    assert store.user(ANN).has_ended(first)


def test_an_account_that_is_not_in_this_log(store):
    by = {"by": ANN, "request_id": "request-2", "at": NOON}
    (answer,) = commit(store, [EndSessions(**by, sid="1.a")])
    assert isinstance(answer, TokenNotValidError)


def test_an_error_of_reuse_is_one_of_a_token():
    error = TokenReusedError(ANN, "1.a")
    assert isinstance(error, TokenNotValidError)
    assert (error.account_id, error.sid) == (ANN, "1.a")
