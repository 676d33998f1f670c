"""Undo equals a plain model, for any changes, deletions and undoings."""

from copy import deepcopy
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from commands.aggregates.movie import EventMetadata, Movie, MovieDetails
from commands.errors import NotFoundError, UndoConflictError
from tests.controls import MOVIE

NAMES = MovieDetails._fields
WORDS, YEARS = st.sampled_from(["a", "b", "c"]), st.sampled_from([1979, 1986])
CHANGES = st.fixed_dictionaries({"title": WORDS}, optional={"genre": WORDS, "year": YEARS})
UNDO = st.integers(0, 3)
STEP = st.integers(0, 6).flatmap(
    lambda kind: CHANGES if kind < 4 else UNDO if kind < 6 else st.just("delete")
)
STEPS = st.lists(STEP, min_size=5, max_size=12)
METADATA = EventMetadata("ann", "request", datetime(2026, 1, 2, tzinfo=UTC), None)


def undone(versions, version):
    """Return the details after an undo, or the error to expect."""
    before, then, now = versions[version - 2], versions[version - 1], versions[-1]
    if then["deleted"]:
        if version == len(versions):
            return before
        return NotFoundError if now["deleted"] else now
    if now["deleted"]:
        return NotFoundError
    names = [name for name in NAMES if before[name] not in (then[name], now[name])]
    conflicts = {
        name: (changed, now[name])
        for name in names
        for changed, (one, two) in enumerate(pairwise(versions), start=2)
        if changed > version and one[name] != two[name]
    }
    return conflicts or now | {name: before[name] for name in names}


def state(movie):
    return {"deleted": movie.deleted, **movie.details._asdict()}


def outcome(movie, before, then):
    """Undo a version; return the state after it, or the error."""
    try:
        movie.undo(before, then, METADATA)
    except UndoConflictError as error:
        return error.conflicts
    except NotFoundError:
        return NotFoundError
    return state(movie)


@settings(max_examples=300, derandomize=True)
@given(STEPS)
def test_undo_equals_the_model(steps):
    movie = Movie.create(MOVIE, MovieDetails("a", "a", 1979), METADATA)
    movies, versions = [deepcopy(movie)], [state(movie)]
    for step in steps:
        if isinstance(step, dict) and not movie.deleted:
            movie.update(step, METADATA)
        elif step == "delete":
            movie.delete(METADATA)
        elif isinstance(step, int) and (version := movie.version - step) > 1:
            expected = undone(versions, version)
            assert outcome(movie, movies[version - 2], movies[version - 1]) == expected
        if movie.version > len(versions):
            movies.append(deepcopy(movie))
            versions.append(state(movie))
