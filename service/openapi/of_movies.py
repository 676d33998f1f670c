"""What there is to say of the routes of ``/movies/``."""

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    KeyInFlightError,
    KeyReusedError,
    MalformedError,
    MediaTypeError,
    NotCreatorError,
    NotFoundError,
    ReadModelUnavailableError,
    VersionConflictError,
)
from commands.messages import MovieChanges, MovieFields, RevertTarget
from service import movies, shapes
from service.bodies import JSON
from service.openapi import headers, parameters
from service.openapi.described import Answer, Body, Operation, Table
from service.openapi.refusals import too_large

TAG = "Movies"
_ALIEN = {"title": "Alien", "genre": "Horror", "year": 1979}
_ID = "019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58"
_MOVIE = {
    "id": _ID,
    **_ALIEN,
    "creator": "ann",
    "version": 1,
    "created_at": "2026-01-02T12:00:00.000250Z",
    "updated_at": "2026-01-02T12:00:00.000250Z",
}
_BODY_REFUSED = (
    InvalidError({"year": ["A valid integer is required."]}),
    MalformedError("JSON parse error."),
    too_large(),
    MediaTypeError(JSON),
)
_WRITE_REFUSED = (
    NotCreatorError(),
    NotFoundError(),
    VersionConflictError('"2"', 3),
    EventStoreUnavailableError(),
    BusyError(),
)
_WRITE_TAKES = (
    parameters.MOVIE_ID,
    parameters.IF_MATCH,
    parameters.CHANGE_REASON,
    parameters.PREFER,
)
_SHOWN = (headers.MOVIE_TAG, headers.EVENT_POSITION)
_WRITTEN = (headers.MOVIE_TAG, *headers.AFTER_WRITE)
_UNCHANGED = Answer("Nothing has changed.", headers=_SHOWN)
_WITH_ID = {"movie_id": "$response.body#/id"}
_OF_ONE = {
    name: {"operationId": name, "parameters": _WITH_ID}
    for name in ("readMovie", "changeMovie", "deleteMovie", "revertMovie", "readMovieHistory")
}


TABLE: Table = {
    movies.list_movies: Operation(
        id="listMovies",
        tag=TAG,
        summary="List movies",
        about="Filters combine. Of a parameter that is repeated the last counts, and those that "
        "are not known are ignored.",
        takes=(
            *parameters.FILTERS,
            parameters.ORDERING,
            *parameters.PAGING,
            parameters.CURSOR,
            parameters.IF_NONE_MATCH,
            parameters.MIN_POSITION,
        ),
        answers={
            200: Answer(
                "A page of movies.",
                shapes.MoviePage,
                (headers.LIST_TAG, headers.EVENT_POSITION, headers.LINK),
                example={"count": 1, "next": None, "previous": None, "results": [_MOVIE]},
            ),
            304: Answer("Nothing has changed.", None, (headers.LIST_TAG, headers.EVENT_POSITION)),
        },
        refuses=(
            InvalidError({"year": ["Enter a number."]}),
            NotFoundError("Invalid page."),
            ReadModelUnavailableError(),
        ),
    ),
    movies.create_movie: Operation(
        id="createMovie",
        tag=TAG,
        summary="Create a movie",
        about="The movie belongs to the caller. Fields that are not known are ignored.",
        takes=(parameters.IDEMPOTENCY_KEY, parameters.CHANGE_REASON, parameters.PREFER),
        body=Body(MovieFields, _ALIEN),
        answers={
            201: Answer(
                "The new movie.",
                shapes.Movie,
                (headers.LOCATION, *_WRITTEN, headers.REPLAYED),
                example=_MOVIE,
                links=_OF_ONE,
            )
        },
        refuses=(
            *_BODY_REFUSED,
            KeyInFlightError(),
            KeyReusedError(),
            EventStoreUnavailableError(),
            BusyError(),
        ),
    ),
    movies.read_movie: Operation(
        id="readMovie",
        tag=TAG,
        summary="Read a movie",
        about="As it is, or with `version` or `at` as it was. 404 where it was not there then.",
        takes=(
            parameters.MOVIE_ID,
            parameters.AT_VERSION,
            parameters.AT_TIME,
            parameters.IF_NONE_MATCH,
            parameters.MIN_POSITION,
        ),
        answers={200: Answer("The movie.", shapes.Movie, _SHOWN, example=_MOVIE), 304: _UNCHANGED},
        refuses=(
            InvalidError({"at": ["Enter a valid date/time."]}),
            NotFoundError(),
            ReadModelUnavailableError(),
        ),
    ),
    movies.replace_movie: Operation(
        id="replaceMovie",
        tag=TAG,
        summary="Replace a movie",
        about="Every field but those that only the service sets. What changes nothing leaves the "
        "movie at its version.",
        takes=_WRITE_TAKES,
        body=Body(MovieFields, _ALIEN),
        answers={200: Answer("The movie.", shapes.Movie, _WRITTEN, example=_MOVIE)},
        refuses=(*_BODY_REFUSED, *_WRITE_REFUSED),
    ),
    movies.change_movie: Operation(
        id="changeMovie",
        tag=TAG,
        summary="Change a movie",
        about="Only the fields that are given.",
        takes=_WRITE_TAKES,
        body=Body(MovieChanges, {"year": 1980}),
        answers={200: Answer("The movie.", shapes.Movie, _WRITTEN, example=_MOVIE)},
        refuses=(*_BODY_REFUSED, *_WRITE_REFUSED),
    ),
    movies.delete_movie: Operation(
        id="deleteMovie",
        tag=TAG,
        summary="Delete a movie",
        about="Its history stays, and a revert brings it back.",
        takes=_WRITE_TAKES,
        answers={204: Answer("It is deleted.", None, headers.AFTER_WRITE)},
        refuses=(*_WRITE_REFUSED, InvalidError({"Change-Reason": ["Not a valid string."]})),
    ),
    movies.revert_movie: Operation(
        id="revertMovie",
        tag=TAG,
        summary="Take a movie back to a version",
        about="A deleted movie comes back. A dry run answers without the headers of a write.",
        takes=(*_WRITE_TAKES, parameters.IDEMPOTENCY_KEY, parameters.DRY_RUN),
        body=Body(RevertTarget, {"version": 1}),
        answers={
            200: Answer(
                "The movie, or what it would be.",
                shapes.Movie,
                tuple(header.sometimes() for header in (*_WRITTEN, headers.REPLAYED)),
                example=_MOVIE,
            )
        },
        refuses=(*_BODY_REFUSED, *_WRITE_REFUSED, KeyInFlightError(), KeyReusedError()),
    ),
}
