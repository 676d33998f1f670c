"""Group commit: what waits together is durable together, and no command suffers for another."""

import threading

import pytest

from commands.claims import request_claim, row_claim
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
from commands.group_commit import CommandResult, commit, preview
from commands.messages import IdempotencyToken
from commands.movie import MovieDetails
from tests.controls import ANN, BOB, MOVIE, check, create, delete, new_id, register, revert, update


def versions(answers):
    return [answer.aggregate.version for answer in answers]


def test_receipts_come_in_order_with_positions(store):
    """Each command is answered with its own aggregate and the position that shows it."""
    answers = commit(store, [create(year=1979), create(year=1986), register()])
    assert [answer.position for answer in answers] == [1, 2, 5]
    assert [answer.aggregate.details.year for answer in answers[:2]] == [1979, 1986]


def test_commands_on_one_movie_wait_for_each_other(store):
    """Ten changes of one movie in one batch are ten versions, none lost."""
    answers = commit(store, [create(MOVIE), *(update(title=f"Alien {n}") for n in range(10))])
    assert versions(answers) == list(range(1, 12))
    assert store.movie(MOVIE).details.title == "Alien 9"


def test_a_refused_command_refuses_only_itself(store):
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


def test_whose_movie_it_is_can_be_checked_without_a_change(store):
    """What is wrong with a body is told only to the creator of a movie that exists."""
    commit(store, [create(MOVIE)])
    answers = commit(store, [check(), check(by=BOB), check(new_id())])
    assert [type(answer) for answer in answers] == [CommandResult, NotCreatorError, NotFoundError]
    commit(store, [delete()])
    answers = commit(store, [check(), check(or_deleted=True), check(by=BOB, or_deleted=True)])
    assert [type(answer) for answer in answers] == [NotFoundError, CommandResult, NotCreatorError]
    assert store.head() == 2


def test_nothing_changed_nothing_appended(store):
    commit(store, [create(MOVIE)])
    (answer,) = commit(store, [update(title="Alien")])
    assert (answer.appended, answer.position, answer.aggregate.version) == (False, 1, 1)
    assert store.head() == 1


def test_a_deleted_movie_is_gone(store):
    commit(store, [create(MOVIE), delete()])
    answers = commit(store, [update(title="x"), delete()])
    assert [type(answer) for answer in answers] == [NotFoundError, NotFoundError]


@pytest.mark.parametrize("again", [{"username": "ANN"}, {"username": "ﬁn", "email": "x@x.org"}])
def test_usernames_and_addresses_are_unique_without_regard_to_case(store, again):
    commit(store, [register(username="ann"), register(username="fin")])
    (answer,) = commit(store, [register(**again)])
    assert isinstance(answer, TakenError)
    assert answer.errors["username"] == ["A user with that username already exists."]


def test_both_names_taken_are_both_told(store):
    commit(store, [register(username="ann", email="ann@example.org")])
    (answer,) = commit(store, [register(username="Ann", email="ANN@example.org")])
    assert set(answer.errors) == {"username", "email"}


def test_one_name_twice_in_one_batch(store):
    """Of two registrations at once one wins, whichever batch they come in."""
    answers = commit(store, [register(username="ann"), register(username="ann", email="b@x.org")])
    assert [type(answer) for answer in answers] == [CommandResult, TakenError]


def test_a_claimed_row_is_created_once(store):
    token = IdempotencyToken(claim=row_claim(str(ANN), MovieDetails("Alien", "Horror", 1979), 1))
    first, second = commit(store, [create(idempotency=token), create(idempotency=token)])
    assert (first.appended, second.appended) == (True, False)
    assert second.aggregate.id == first.aggregate.id


def test_a_repeated_request_is_answered_as_the_first_was(store):
    """Exactly once, whatever has happened to the movie since, in one batch or in two."""
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


def test_a_lost_race_for_a_key_is_answered_by_the_winner(store):
    token = IdempotencyToken(claim=request_claim(str(ANN), "key-1"), fingerprint="f")
    other = Store(store._application)
    races = [lambda: commit(other, [create(MOVIE, idempotency=token)])]
    (answer,) = commit(Racing(store._application, races), [create(idempotency=token)])
    assert (answer.aggregate.id, answer.replayed) == (MOVIE, True)
    assert store.head() == 2


@pytest.mark.parametrize("deleted", [False, True])
def test_a_movie_goes_back_to_an_earlier_version(store, deleted):
    commit(store, [create(MOVIE), update(title="Aliens", year=1986)])
    if deleted:
        commit(store, [delete()])
    (answer,) = commit(store, [revert(version=1)])
    assert answer.aggregate.details.title == "Alien"
    last = store.read_stream(MOVIE)[-1]
    assert last.type == ("MovieRestored" if deleted else "MovieUpdated")
    assert commit(store, [revert(version=1)])[0].appended is False


def test_what_cannot_be_gone_back_to(store):
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


def test_a_reason_is_kept_and_older_events_have_none(store):
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


def test_lost_races_are_run_again(store):
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


def test_a_lost_race_for_an_expected_version_is_refused(store):
    commit(store, [create(MOVIE)])
    other = Store(store._application)
    races = [lambda: commit(other, [update(title="Theirs")])]
    (answer,) = commit(Racing(store._application, races), [update(title="Ours", expected=(1,))])
    assert isinstance(answer, VersionConflictError)


def test_a_commit_whose_answer_was_lost_is_found_again(store):
    """A creation that was committed before the connection broke is not made twice."""
    command = create(MOVIE)
    commit(store, [command])
    (answer,) = commit(store, [command], is_retry=True)
    assert (answer.appended, answer.aggregate.version) == (False, 1)


def test_many_processes_many_writers(store, store_url):
    """Writers in parallel on one movie: every write is there, every version once."""
    commit(store, [create(MOVIE)])
    failed = []

    def write(number):
        mine = Store.open(store_url, create=False)
        for n in range(10):
            (answer,) = commit(mine, [update(title=f"{number}-{n}")])
            if not isinstance(answer, CommandResult):
                failed.append(answer)
        mine.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert store.movie(MOVIE).version == 41
    assert [event.version for event in store.read_stream(MOVIE)] == list(range(1, 42))


def test_a_store_that_is_away_answers_each_command(sqlite_store, tmp_path):
    commit(sqlite_store, [create()])
    sqlite_store._recorder.datastore.pool.close()
    (answer,) = commit(sqlite_store, [create()])
    assert isinstance(answer, EventStoreUnavailableError)
