"""Group commit: many commands in one transaction, each with its own result."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from commands.aggregates.claims import request_claim, row_claim
from commands.aggregates.movie import MovieDetails
from commands.errors import (
    EventStoreUnavailableError,
    InvalidError,
    KeyReusedError,
    NotCreatorError,
    NotFoundError,
    TakenError,
    VersionConflictError,
)
from commands.event_store.store import Store
from commands.execution.group_commit import CommandResult, commit, preview
from commands.messages import IdempotencyToken
from tests.controls import ANN, BOB, MOVIE, check, create, delete, new_id, register, revert, update


def versions(answers):
    return [answer.aggregate.version for answer in answers]


def test_results_come_in_order_with_positions(store):
    """Each result has the aggregate of its command, and a position that shows it."""
    answers = commit(store, [create(year=1979), create(year=1986), register()])
    assert [answer.position for answer in answers] == [1, 2, 5]
    assert [answer.aggregate.details.year for answer in answers[:2]] == [1979, 1986]


def test_commands_on_one_movie_wait_for_each_other(store):
    """Ten changes of one movie in one batch are ten versions, none lost."""
    answers = commit(store, [create(MOVIE), *(update(title=f"Alien {n}") for n in range(10))])
    assert versions(answers) == list(range(1, 12))
    assert store.movie(MOVIE).details.title == "Alien 9"


def test_a_refused_command_does_not_affect_the_others(store):
    commit(store, [create(MOVIE)])
    answers = commit(
        store,
        [
            update(by=BOB, title="Mine"),
            update(new_id(), title="?"),
            update(title="Aliens"),
            update(title="x", expected=(9,)),
        ],
    )
    assert [type(answer) for answer in answers] == [
        NotCreatorError,
        NotFoundError,
        CommandResult,
        VersionConflictError,
    ]
    assert (answers[3].expected, answers[3].actual) == ("9", 2)


def test_check_appends_nothing(store):
    """Errors of a body are shown only to the creator of a movie that exists."""
    commit(store, [create(MOVIE)])
    answers = commit(store, [check(), check(by=BOB), check(new_id())])
    assert [type(answer) for answer in answers] == [CommandResult, NotCreatorError, NotFoundError]
    commit(store, [delete()])
    answers = commit(store, [check(), check(or_deleted=True), check(by=BOB, or_deleted=True)])
    assert [type(answer) for answer in answers] == [NotFoundError, CommandResult, NotCreatorError]
    assert store.head() == 2


def test_a_change_without_effect_appends_nothing(store):
    commit(store, [create(MOVIE)])
    (answer,) = commit(store, [update(title="Alien")])
    assert (answer.appended, answer.position, answer.aggregate.version) == (False, 1, 1)
    assert store.head() == 1


def test_deleted_movie_is_not_found(store):
    commit(store, [create(MOVIE), delete()])
    answers = commit(store, [update(title="x"), delete()])
    assert [type(answer) for answer in answers] == [NotFoundError, NotFoundError]


@pytest.mark.parametrize("again", [{"username": "ANN"}, {"username": "ﬁn", "email": "x@x.org"}])
def test_usernames_and_addresses_are_unique_without_regard_to_case(store, again):
    commit(store, [register(username="ann"), register(username="fin")])
    (answer,) = commit(store, [register(**again)])
    assert isinstance(answer, TakenError)
    assert answer.errors["username"] == ["A user with that username already exists."]


def test_taken_username_and_email_are_both_reported(store):
    commit(store, [register(username="ann", email="ann@example.org")])
    (answer,) = commit(store, [register(username="Ann", email="ANN@example.org")])
    assert set(answer.errors) == {"username", "email"}


def test_one_of_two_concurrent_registrations_wins(store):
    """Both are in one batch."""
    answers = commit(store, [register(username="ann"), register(username="ann", email="b@x.org")])
    assert [type(answer) for answer in answers] == [CommandResult, TakenError]


def test_claims_of_a_batch_are_looked_up_together(store, monkeypatch):
    """Only streams that exist are read one by one."""

    def requests():
        claims = (row_claim("ann", MovieDetails(f"Alien {n}", "Horror", 1979), 1) for n in range(5))
        return [create(idempotency=IdempotencyToken(claim=claim)) for claim in claims]

    commit(store, requests()[:2])
    read, get = [], Store.get
    monkeypatch.setattr(Store, "get", lambda *args: read.append(args[2]) or get(*args))
    results = commit(store, requests())
    assert [result.replayed for result in results] == [True, True, False, False, False]
    assert read == [request.idempotency.claim for request in requests()[:2]]


def test_a_claimed_row_is_created_once(store):
    token = IdempotencyToken(claim=row_claim(str(ANN), MovieDetails("Alien", "Horror", 1979), 1))
    first, second = commit(store, [create(idempotency=token), create(idempotency=token)])
    assert (first.appended, second.appended) == (True, False)
    assert second.aggregate.id == first.aggregate.id


def test_a_repeated_request_gets_the_first_answer(store):
    """The movie may have changed since; the requests may be in one batch or in two."""
    token = IdempotencyToken(claim=request_claim(str(ANN), "key-1"), fingerprint="f")
    first, again = commit(store, [create(MOVIE, idempotency=token), create(idempotency=token)])
    commit(store, [update(title="Aliens"), delete()])
    (later,) = commit(store, [create(idempotency=token)])
    assert [answer.replayed for answer in (first, again, later)] == [False, True, True]
    assert first.aggregate == again.aggregate == later.aggregate
    assert store.head() == 4


def test_a_key_belongs_to_one_request(store):
    claim = request_claim(str(ANN), "key-1")
    commit(store, [create(idempotency=IdempotencyToken(claim=claim, fingerprint="f"))])
    (answer,) = commit(store, [create(idempotency=IdempotencyToken(claim=claim, fingerprint="g"))])
    assert isinstance(answer, KeyReusedError)


def test_retry_replays_the_winner_of_a_key(store):
    token = IdempotencyToken(claim=request_claim(str(ANN), "key-1"), fingerprint="f")
    other = Store(store._application)
    races = [lambda: commit(other, [create(MOVIE, idempotency=token)])]
    (answer,) = commit(Racing(store._application, races), [create(idempotency=token)])
    assert (answer.aggregate.id, answer.replayed) == (MOVIE, True)
    assert store.head() == 2


@pytest.mark.parametrize("deleted", [False, True])
def test_a_revert_appends_one_event(store, deleted):
    commit(store, [create(MOVIE), update(title="Aliens", year=1986)])
    if deleted:
        commit(store, [delete()])
    (answer,) = commit(store, [revert(version=1)])
    assert answer.aggregate.details.title == "Alien"
    last = store.read_stream(MOVIE)[-1]
    assert last.type == ("MovieRestored" if deleted else "MovieUpdated")
    assert commit(store, [revert(version=1)])[0].appended is False


def test_invalid_reverts_are_refused(store):
    commit(store, [create(MOVIE), delete()])
    answers = commit(
        store, [revert(version=3), revert(version=2), revert(by=BOB), revert(new_id())]
    )
    kinds = [InvalidError, InvalidError, NotCreatorError, NotFoundError]
    assert [type(answer) for answer in answers] == kinds
    assert store.head() == 2


def test_a_preview_appends_nothing(store):
    commit(store, [register(ANN), create(MOVIE), update(title="Aliens")])
    head = store.head()
    assert preview(store, revert(version=1)).details.title == "Alien"
    assert store.head() == head
    assert store.movie(MOVIE).details.title == "Aliens"


def test_the_reason_is_stored(store):
    commit(store, [create(MOVIE), update(title="x").model_copy(update={"reason": "typo"})])
    created, updated = store.read_stream(MOVIE)
    assert (created.data.get("reason"), updated.data.get("reason")) == (None, "typo")


class Racing(Store):
    """A store in which another process writes between a decision and its append."""

    def __init__(self, log, race):
        super().__init__(log)
        self.race = race

    def append(self, aggregates):
        if self.race:
            self.race.pop()()
        return super().append(aggregates)


def test_conflicting_commands_are_retried(store):
    """Without If-Match both writers succeed, one after the other."""
    commit(store, [create(MOVIE)])
    other = Store(store._application)
    races = [lambda n=n: commit(other, [update(title=f"Theirs {n}")]) for n in range(3)]
    answers = commit(
        Racing(store._application, races), [update(title="Ours"), create(), update(genre="Opera")]
    )
    assert all(isinstance(answer, CommandResult) for answer in answers)
    movie = store.movie(MOVIE)
    assert (movie.details.title, movie.details.genre, movie.version) == ("Ours", "Opera", 6)


def test_retry_checks_the_expected_version_again(store):
    commit(store, [create(MOVIE)])
    other = Store(store._application)
    races = [lambda: commit(other, [update(title="Theirs")])]
    (answer,) = commit(Racing(store._application, races), [update(title="Ours", expected=(1,))])
    assert isinstance(answer, VersionConflictError)


def test_retry_of_a_lost_commit_appends_nothing(store):
    """A movie whose commit was not confirmed is not created twice."""
    command = create(MOVIE)
    commit(store, [command])
    (answer,) = commit(store, [command], is_retry=True)
    assert (answer.appended, answer.aggregate.version) == (False, 1)


def _write_ten(store_url, number):
    """Change the movie in a process of its own; return the errors."""
    store = Store.open(store_url, create=False)
    results = [commit(store, [update(title=f"{number}-{n}")])[0] for n in range(10)]
    store.close()
    return [repr(one) for one in results if not isinstance(one, CommandResult)]


def test_parallel_writers_lose_no_write(store, store_url):
    """Each version of the movie is used once."""
    commit(store, [create(MOVIE)])
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        errors = list(processes.map(_write_ten, [store_url] * 4, range(4)))
    assert errors == [[]] * 4
    assert store.movie(MOVIE).version == 41
    assert [event.version for event in store.read_stream(MOVIE)] == list(range(1, 42))


def test_unavailable_store_fails_each_command(sqlite_store, tmp_path):
    commit(sqlite_store, [create()])
    sqlite_store._recorder.datastore.pool.close()
    (answer,) = commit(sqlite_store, [create()])
    assert isinstance(answer, EventStoreUnavailableError)
