"""What there is to say of the routes of ``/movies/``."""

from commands.errors import (
    BusyError,
    EventStoreUnavailableError,
    InvalidError,
    KeyInFlightError,
    KeyReusedError,
    NotCreatorError,
    NotFoundError,
    OutcomeUnknownError,
    PreconditionFailedError,
    ReadModelUnavailableError,
    VersionConflictError,
)
from commands.messages import MovieChanges, MovieFields, RevertTarget
from service.openapi import parameters, request_headers, response_headers
from service.openapi.errors import UNKNOWN, unreadable
from service.openapi.model import Answer, Body, Json, Operation, Table
from service.routes import movie_commands, movie_list, movies
from service.web import representations
from service.web.body import JSON, MERGE_PATCH, PATCHES

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
_YEAR_REFUSED = InvalidError({"year": ["A valid integer is required."]})
_BODY_REFUSED = (_YEAR_REFUSED, *unreadable(JSON))
_WRITE_REFUSED = (
    NotCreatorError(),
    NotFoundError(),
    VersionConflictError("2", 3),
    EventStoreUnavailableError(),
    OutcomeUnknownError(),
    BusyError(),
)
_WRITE_TAKES = (
    parameters.MOVIE_ID,
    request_headers.IF_MATCH,
    request_headers.EXCLUDED,
    request_headers.CHANGE_REASON,
    request_headers.PREFER,
)
_SHOWN = (response_headers.MOVIE_TAG, *response_headers.POSITIONED)
_WRITTEN = (response_headers.MOVIE_TAG, *response_headers.AFTER_WRITE)
_UNCHANGED = Answer("Nothing has changed.", headers=_SHOWN)


def _links(place: str, *names: str) -> dict[str, Json]:
    """Return links to operations on the movie whose id stands at a place of the answer."""
    at = {"movie_id": f"$response.body#{place}"}
    return {name: {"operationId": name, "parameters": at} for name in names}


TABLE: Table = {
    movie_list.list_movies: Operation(
        id="listMovies",
        tag=TAG,
        summary="List movies",
        about="As they are, or with `at` or `at_position` as they were. Filters combine. Of a "
        "parameter that is repeated the last counts, and those that are not known are ignored.",
        takes=(
            *parameters.FILTERS,
            parameters.ORDERING,
            *parameters.PAGING,
            parameters.CURSOR,
            parameters.AT_TIME,
            parameters.AT_POSITION,
            request_headers.SHOWN_MATCH,
            request_headers.IF_NONE_MATCH,
            request_headers.MIN_POSITION,
            request_headers.EVENT_LOG,
        ),
        answers={
            200: Answer(
                "A page of movies.",
                representations.MoviePage,
                (response_headers.LIST_TAG, *response_headers.POSITIONED, response_headers.LINK),
                example={"count": 1, "next": None, "previous": None, "results": [_MOVIE]},
                links=_links("/results/0/id", "readMovie", "readMovieHistory"),
            ),
            304: Answer(
                "Nothing has changed.",
                None,
                (response_headers.LIST_TAG, *response_headers.POSITIONED),
            ),
        },
        refuses=(
            InvalidError({"year": ["Enter a number."]}),
            NotFoundError("Invalid page."),
            PreconditionFailedError('W/"p42@0f8fad5b-d9cb-469f-a165-70867728950e.1"'),
            UNKNOWN,
            ReadModelUnavailableError(),
        ),
    ),
    movie_commands.create_movie: Operation(
        id="createMovie",
        tag=TAG,
        summary="Create a movie",
        about="The movie belongs to the caller. Fields that are not known are ignored.",
        takes=(
            request_headers.IDEMPOTENCY_KEY,
            request_headers.SHOWN_MATCH,
            request_headers.EXCLUDED,
            request_headers.CHANGE_REASON,
            request_headers.PREFER,
        ),
        body=Body(MovieFields, _ALIEN),
        answers={
            201: Answer(
                "The new movie.",
                representations.Movie,
                (response_headers.LOCATION, *_WRITTEN, response_headers.REPLAYED),
                example=_MOVIE,
                links=_links(
                    "/id",
                    "readMovie",
                    "replaceMovie",
                    "changeMovie",
                    "deleteMovie",
                    "revertMovie",
                    "readMovieHistory",
                ),
            )
        },
        refuses=(
            *_BODY_REFUSED,
            PreconditionFailedError('W/"p42"'),
            KeyInFlightError(),
            KeyReusedError(),
            EventStoreUnavailableError(),
            OutcomeUnknownError(),
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
            request_headers.SHOWN_MATCH,
            request_headers.IF_NONE_MATCH,
            request_headers.MIN_POSITION,
            request_headers.EVENT_LOG,
        ),
        answers={
            200: Answer("The movie.", representations.Movie, _SHOWN, example=_MOVIE),
            304: _UNCHANGED,
        },
        refuses=(
            InvalidError({"at": ["Enter a valid date/time."]}),
            NotFoundError(),
            VersionConflictError("2", 3),
            UNKNOWN,
            ReadModelUnavailableError(),
        ),
    ),
    movie_commands.replace_movie: Operation(
        id="replaceMovie",
        tag=TAG,
        summary="Replace a movie",
        about="Every field but those that only the service sets. What changes nothing leaves the "
        "movie at its version.",
        takes=_WRITE_TAKES,
        body=Body(MovieFields, _ALIEN),
        answers={200: Answer("The movie.", representations.Movie, _WRITTEN, example=_MOVIE)},
        refuses=(*_BODY_REFUSED, *_WRITE_REFUSED),
    ),
    movie_commands.change_movie: Operation(
        id="changeMovie",
        tag=TAG,
        summary="Change a movie",
        about="Only the fields that are given.",
        takes=_WRITE_TAKES,
        body=Body(MovieChanges, {"year": 1980}, also=MERGE_PATCH, required=False),
        answers={200: Answer("The movie.", representations.Movie, _WRITTEN, example=_MOVIE)},
        refuses=(_YEAR_REFUSED, *unreadable(*PATCHES), *_WRITE_REFUSED),
    ),
    movie_commands.delete_movie: Operation(
        id="deleteMovie",
        tag=TAG,
        summary="Delete a movie",
        about="Its history stays, and a revert brings it back.",
        takes=_WRITE_TAKES,
        answers={204: Answer("It is deleted.", None, response_headers.AFTER_WRITE)},
        refuses=(*_WRITE_REFUSED, InvalidError({"Change-Reason": ["Not a valid string."]})),
    ),
    movie_commands.revert_movie: Operation(
        id="revertMovie",
        tag=TAG,
        summary="Take a movie back to a version",
        about="A deleted movie comes back.",
        takes=(*_WRITE_TAKES, request_headers.IDEMPOTENCY_KEY, parameters.DRY_RUN),
        body=Body(RevertTarget, {"version": 1}),
        answers={
            200: Answer(
                "The movie, or what it would be.",
                representations.Movie,
                (
                    response_headers.MOVIE_TAG.sometimes(),
                    *response_headers.AFTER_WRITE,
                    response_headers.REPLAYED,
                ),
                example=_MOVIE,
            )
        },
        refuses=(*_BODY_REFUSED, *_WRITE_REFUSED, KeyInFlightError(), KeyReusedError()),
    ),
}
