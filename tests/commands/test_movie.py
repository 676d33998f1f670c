"""The Movie aggregate: given events, when a decision, then events."""

import pytest

from commands.errors import CinelogError, NotCreatorError, NotFoundError, VersionConflictError
from commands.movie import Movie, MovieDetails
from tests.controls import ANN, BOB, MOVIE, metadata


class Given:
    """Reads as given(…).when(decision).then(Event, field=value)."""

    def __init__(self, *decisions):
        self.movie = Movie.create(MOVIE, MovieDetails("Alien", "Horror", 1979), metadata())
        for decision in decisions:
            decision(self.movie)
        self.movie.collect_events()
        self.error = None

    def when(self, decision):
        try:
            decision(self.movie)
        except CinelogError as error:
            self.error = error
        return self

    def then(self, kind, **fields):
        assert self.error is None
        (event,) = self.movie.collect_events()
        assert type(event) is kind
        assert {name: getattr(event, name) for name in fields} == fields
        return self

    def then_nothing(self):
        assert self.error is None
        assert not self.movie.collect_events()

    def then_refused(self, kind):
        assert type(self.error) is kind
        assert not self.movie.collect_events()


def given(*decisions):
    return Given(*decisions)


def update(**changes):
    return lambda movie: movie.update(changes, metadata(minutes=1))


def delete(movie):
    movie.delete(metadata(minutes=2))


def test_creation_names_the_creator_and_the_request():
    """A movie belongs to the account that created it."""
    movie = Movie.create(
        MOVIE, MovieDetails("Alien", "Horror", 1979), metadata(ANN, request_id="r-7")
    )
    (event,) = movie.collect_events()
    assert (event.by, event.request_id, event.title) == (str(ANN), "r-7", "Alien")
    assert (movie.creator, movie.version) == (str(ANN), 1)


def test_change():
    """A change names only what changes."""
    given().when(update(title="Aliens", year=1979)).then(
        Movie.Updated, title="Aliens", genre=None, year=None
    )


def test_no_change():
    """A change that changes nothing leaves no event."""
    given().when(update(title="Alien")).then_nothing()
    given().when(update()).then_nothing()


def test_change_is_idempotent():
    """The same change twice leaves one event."""
    given(update(title="Aliens")).when(update(title="Aliens")).then_nothing()


def test_delete_once():
    """A movie is deleted once."""
    given().when(delete).then(Movie.Deleted, by=str(ANN))
    given(delete).when(delete).then_nothing()


def test_deleted_is_not_there():
    """A deleted movie is not found."""
    given(delete).when(Movie.ensure_exists).then_refused(NotFoundError)


def test_only_the_creator():
    """No other account passes for the creator."""
    given().when(lambda movie: movie.check_creator(str(BOB))).then_refused(NotCreatorError)
    given().when(lambda movie: movie.check_creator(str(ANN))).then_nothing()


@pytest.mark.parametrize(
    ("expected", "refused"), [(None, False), ((2, 1), False), ((), True), ((2,), True)]
)
def test_expected_version(expected, refused):
    """A movie at another version than those expected is not touched."""
    checked = given().when(lambda movie: movie.check_version(expected))
    checked.then_refused(VersionConflictError) if refused else checked.then_nothing()
