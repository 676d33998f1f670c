"""The Movie aggregate: given events, when a command, then events."""

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from commands.aggregates.movie import Movie
from commands.errors import (
    InvalidError,
    NotCreatorError,
    NotFoundError,
    UndoConflictError,
    VersionConflictError,
)
from tests.commands.given import given, happened, movie_created
from tests.controls import (
    ALIEN,
    ANN,
    BOB,
    MOVIE,
    check,
    create,
    delete,
    new_id,
    revert,
    undo,
    update,
)

UPDATED = happened(Movie.Updated, title="Aliens", year=1986)
DELETED = happened(Movie.Deleted)


def test_creation_names_the_creator():
    """A movie belongs to the account that created it."""
    given().when(create(MOVIE, by=BOB)).then(Movie.Created, by=str(BOB), **ALIEN)


def test_an_update_has_only_the_fields_that_change():
    given(movie_created()).when(update(title="Aliens", year=1979)).then(
        Movie.Updated, by=str(ANN), title="Aliens", genre=None, year=None
    )


def test_an_update_without_effect_appends_nothing():
    given(movie_created()).when(update(title="Alien")).then_nothing()
    given(movie_created()).when(update()).then_nothing()
    given(movie_created(), UPDATED).when(update(title="Aliens")).then_nothing()


def test_the_creator_deletes_a_movie():
    given(movie_created()).when(delete()).then(Movie.Deleted, by=str(ANN))


@pytest.mark.parametrize("command", [update(title="x"), delete(), check()])
def test_a_missing_movie_is_not_found(command):
    """It is deleted, or never existed."""
    given(movie_created(), DELETED).when(command).then_refused(NotFoundError)
    given().when(command).then_refused(NotFoundError)


@pytest.mark.parametrize(
    "command", [update(by=BOB, title="x"), delete(by=BOB), revert(by=BOB), check(by=BOB)]
)
def test_only_the_creator_changes_a_movie(command):
    """Other accounts may not change, delete or revert it."""
    given(movie_created()).when(command).then_refused(NotCreatorError)


def test_check():
    given(movie_created()).when(check()).then_nothing()
    given(movie_created(), DELETED).when(check(or_deleted=True)).then_nothing()


@pytest.mark.parametrize("expected", [None, (1,), (2, 1), "any"])
def test_a_movie_at_the_expected_version_is_changed(expected):
    given(movie_created()).when(update(title="x", expected=expected)).then(Movie.Updated)
    given(movie_created()).when(delete(expected=expected)).then(Movie.Deleted)


@pytest.mark.parametrize(
    ("expected", "told"), [((), "none"), ((2,), "2"), ((2, 3), "2 or 3"), ((3, 2), "3 or 2")]
)
def test_a_movie_at_another_version_is_not_changed(expected, told):
    """The refusal names both versions."""
    for command in (update(title="x", expected=expected), delete(expected=expected)):
        refused = given(movie_created()).when(command).then_refused(VersionConflictError)
        assert str(refused.error) == f"Expected version {told}, but the movie is at version 1."


def test_a_deleted_movie_is_at_no_version():
    command = revert(version=1, expected="any")
    refused = given(movie_created(), DELETED).when(command).then_refused(VersionConflictError)
    assert str(refused.error) == "Expected version any, but the movie is at version 2."


@pytest.mark.parametrize(("excluded", "told"), [("any", "any"), ((1, 2), "1 or 2")])
def test_excluded_version(excluded, told):
    command = update(title="x")
    given(movie_created()).when(command.model_copy(update={"excluded": (2,)})).then(Movie.Updated)
    command = command.model_copy(update={"excluded": excluded})
    refused = given(movie_created()).when(command).then_refused(VersionConflictError)
    told = f"Expected version other than {told}, but the movie is at version 1."
    assert str(refused.error) == told


def test_a_revert_has_only_the_fields_that_differ():
    given(movie_created(), UPDATED).when(revert(version=1)).then(
        Movie.Updated, by=str(ANN), title="Alien", genre=None, year=1979
    )


def test_a_revert_to_equal_fields_appends_nothing():
    given(movie_created(), UPDATED).when(revert(version=2)).then_nothing()
    given(movie_created()).when(revert(version=1)).then_nothing()


@pytest.mark.parametrize("version", [1, 2])
def test_a_revert_restores_a_deleted_movie(version):
    """The event has all fields."""
    restored = given(movie_created(), UPDATED, DELETED).when(revert(version=version))
    fields = ALIEN if version == 1 else ALIEN | {"title": "Aliens", "year": 1986}
    restored.then(Movie.Restored, by=str(ANN), **fields)
    assert not restored.aggregate.deleted


def test_a_revert_to_a_version_without_the_movie_is_refused():
    """The movie does not have this version yet, or was deleted at it."""
    restored = happened(Movie.Restored, **ALIEN)
    given(movie_created()).when(revert(version=2)).then_refused(InvalidError)
    given(movie_created(), DELETED).when(revert(version=2)).then_refused(InvalidError)
    given(movie_created(), DELETED, restored).when(revert(version=2)).then_refused(InvalidError)
    given(movie_created(), DELETED, restored).when(revert(version=3)).then_nothing()
    given(movie_created()).when(revert(new_id())).then_refused(NotFoundError)


def test_revert_of_another_version():
    given(movie_created(), UPDATED).when(revert(expected=(1,))).then_refused(VersionConflictError)
    given(movie_created(), UPDATED).when(revert(expected=(2,))).then(Movie.Updated)
    # "any" is any version of a movie that exists.
    deleted = given(movie_created(), DELETED)
    deleted.when(revert(expected="any")).then_refused(VersionConflictError)


LATER = happened(Movie.Updated, genre="Action")


def test_an_undo_takes_back_one_change_and_keeps_later_ones():
    undone = given(movie_created(), UPDATED, LATER).when(undo(version=2))
    undone.then(Movie.Updated, by=str(ANN), title="Alien", genre=None, year=1979)
    assert undone.aggregate.details.genre == "Action"


def test_an_undo_that_a_later_change_stands_against_is_refused():
    """Nothing is undone, not even the other fields."""
    later = happened(Movie.Updated, title="Aliens 2", genre="Action")
    refused = given(movie_created(), UPDATED, LATER, later).when(undo(version=2))
    refused.then_refused(UndoConflictError)
    assert refused.error.conflicts == {"title": (4, "Aliens 2")}


def test_undoing_what_is_back_already_appends_nothing():
    back = happened(Movie.Updated, title="Alien", year=1979)
    given(movie_created(), UPDATED, back).when(undo(version=2)).then_nothing()
    given(movie_created(), UPDATED, back).when(undo(version=3)).then(
        Movie.Updated, title="Aliens", year=1986
    )


def test_undoing_a_deletion_restores_the_movie():
    restored = given(movie_created(), UPDATED, DELETED).when(undo(version=3))
    restored.then(Movie.Restored, by=str(ANN), **ALIEN | {"title": "Aliens", "year": 1986})
    again = happened(Movie.Restored, **ALIEN)
    given(movie_created(), DELETED, again).when(undo(version=2)).then_nothing()
    deleted_again = given(movie_created(), DELETED, again, DELETED)
    deleted_again.when(undo(version=2)).then_refused(NotFoundError)
    deleted_again = given(movie_created(), DELETED, again, DELETED)
    deleted_again.when(undo(version=4)).then(Movie.Restored, **ALIEN)


def test_undoing_a_restoration_takes_back_its_fields():
    restored = happened(Movie.Restored, **ALIEN | {"year": 1980})
    undone = given(movie_created(), DELETED, restored).when(undo(version=3))
    undone.then(Movie.Updated, title=None, genre=None, year=1979)
    same = happened(Movie.Restored, **ALIEN)
    given(movie_created(), DELETED, same).when(undo(version=3)).then_nothing()


def test_an_undo_that_makes_no_sense_is_refused():
    """A creation, a version that is not there, another account, a deleted movie, a stale version."""
    given(movie_created()).when(undo(version=1)).then_refused(InvalidError)
    given(movie_created()).when(undo(version=2)).then_refused(InvalidError)
    given().when(undo(version=1)).then_refused(NotFoundError)
    given(movie_created(), UPDATED).when(undo(version=2, by=BOB)).then_refused(NotCreatorError)
    given(movie_created(), UPDATED, DELETED).when(undo(version=2)).then_refused(NotFoundError)
    stale = undo(version=2, expected=(1,))
    given(movie_created(), UPDATED).when(stale).then_refused(VersionConflictError)


_CHANGES = st.fixed_dictionaries(
    {}, optional={"title": st.sampled_from("ab"), "genre": st.sampled_from("ab")}
).filter(bool)


@for_any(st.lists(_CHANGES, min_size=1, max_size=6), st.data())
def test_an_undo_of_any_version_of_any_movie(changes, data):
    """The fields that it changed go back if nothing touched them since, or all stay as they are."""
    movies = [dict(ALIEN, title="a", genre="a")]
    for change in changes:
        movies.append(movies[-1] | change)
    version = data.draw(st.integers(2, len(movies)))
    before, then, now = movies[version - 2], movies[version - 1], movies[-1]
    touched = [name for name in ALIEN if before[name] != then[name] and now[name] != before[name]]
    conflicts = [
        name for name in touched if any(movie[name] != then[name] for movie in movies[version:])
    ]
    events = [happened(Movie.Updated, **change) for change in changes]
    undone = given(movie_created(title="a", genre="a"), *events).when(undo(version=version))
    if conflicts:
        assert sorted(undone.error.conflicts) == sorted(conflicts)
    else:
        expected = now | {name: before[name] for name in touched}
        assert undone.aggregate.details._asdict() == expected
