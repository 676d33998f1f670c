"""The routes of operators: status, parked movies and jobs."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sanic import Blueprint

from commands.errors import InvalidError, NotFoundError, UnavailableError
from projections.rebuild.parked import Parked, discard, parked_in, retry
from projections.rebuild.verify import require_live
from queries.pages import page_of, parse_page
from service.auth.schemas import VerifyOptions
from service.container import Container, container_of
from service.errors import JobRunningError
from service.openapi import errors, examples, parameters, response_headers, tags
from service.openapi.model import Answer, Body, Operation, links_to
from service.operations.jobs import REBUILD, VERIFY, Job, Kind
from service.routes.operators import PATH, REFUSED
from service.routes.pagination import link, page_body
from service.web.body import JSON, read_body
from service.web.representations import operators as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse, json_response

blueprint = Blueprint("ops", url_prefix=PATH)
_NOT_PARKED = "No parked Movie matches the given query."
_NO_JOB = NotFoundError("No Job matches the given query.")
_STARTS = (JobRunningError(examples.JOB["id"]), *REFUSED)
_JOB_STARTED = Answer(
    "The job is running.",
    representations.Job,
    (response_headers.JOB_LOCATION,),
    example=examples.JOB,
    links=links_to("/id", "readJob", parameter="job_id"),
)


@blueprint.get("/status/", name="status")
@Operation(
    id="readStatus",
    tag=tags.OPERATORS,
    summary="Read the status of all parts",
    about="What `cinelog status --json` prints, looked up at most once a second, and `job`, the "
    "one started last. `rebuild` is the progress of a running rebuild, whoever started it.",
    answers={200: Answer("The status.", representations.Status, example=examples.STATUS)},
    refuses=REFUSED,
)
async def status(request: CinelogRequest) -> HTTPResponse:
    """Answer the status of the parts and the last job."""
    container = container_of(request)
    found = await container.telemetry.health.status()
    job: Job | None = None
    with suppress(UnavailableError):  # the status says so
        job = await container.job_runner.threads.run(container.job_runner.jobs.last)
    return json_response(found.as_dict() | {"job": job.to_dict() if job else None})


@blueprint.get("/parked/", name="parked")
@Operation(
    id="listParked",
    tag=tags.OPERATORS,
    summary="List the parked movies",
    about="Movies with an event that cannot be applied, in log order. Lists show the last state "
    "before that event, unless the movie was dropped.",
    takes=parameters.PAGING,
    answers={
        200: Answer(
            "A page of parked movies.",
            representations.ParkedPage,
            example=examples.page_of(examples.PARKED),
        )
    },
    refuses=(errors.INVALID_PAGE, *REFUSED),
)
async def parked(request: CinelogRequest) -> HTTPResponse:
    """Answer a page of parked movies."""
    container = container_of(request)
    number, size = parse_page(request.args)
    marks = await _run(container, lambda client: list(parked_in(require_live(client)).values()))
    page = page_of(marks, number, size)
    results = [_parked(mark) for mark in page.items]
    return json_response(page_body(request, f"{PATH}/parked/", page, results))


@blueprint.post("/parked/<movie_id>/retry/", name="retry_parked")
@Operation(
    id="retryParked",
    tag=tags.OPERATORS,
    summary="Apply the events of a parked movie again",
    about="Up to the first that still cannot be applied.",
    takes=(parameters.MOVIE_ID,),
    answers={
        200: Answer(
            "Whether the movie is parked still, and why.",
            representations.Retried,
            example={"movie_id": examples.MOVIE_ID, "parked": False, "error": None},
        )
    },
    refuses=(NotFoundError(_NOT_PARKED), *REFUSED),
)
async def retry_parked(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Retry a parked movie."""
    container = container_of(request)

    def apply(client: Any) -> list[tuple[str, str | None]]:
        live = require_live(client)
        known = parked_in(live).keys() & {movie_id}  # a retry pauses the generation
        return list(retry(container.store, live, known))

    outcomes = await _run(container, apply)
    if not outcomes:
        raise NotFoundError(_NOT_PARKED)
    ((key, error),) = outcomes
    return json_response({"movie_id": key, "parked": error is not None, "error": error})


@blueprint.post("/parked/<movie_id>/drop/", name="drop_parked")
@Operation(
    id="dropParked",
    tag=tags.OPERATORS,
    summary="Take a parked movie out of the lists",
    about="Until a retry or a rebuild. Its history stays.",
    takes=(parameters.MOVIE_ID,),
    answers={
        200: Answer(
            "The parked movie.", representations.Parked, example=examples.PARKED | {"dropped": True}
        )
    },
    refuses=(NotFoundError(_NOT_PARKED), *REFUSED),
)
async def drop_parked(request: CinelogRequest, movie_id: str) -> HTTPResponse:
    """Drop a parked movie."""

    def drop(client: Any) -> Parked | None:
        live = require_live(client)
        if movie_id not in parked_in(live) or not discard(live, movie_id):
            return None
        return parked_in(live).get(movie_id)

    mark = await _run(container_of(request), drop)
    if mark is None:
        raise NotFoundError(_NOT_PARKED)
    return json_response(_parked(mark))


@blueprint.post("/rebuild/", name="rebuild")
@Operation(
    id="startRebuild",
    tag=tags.OPERATORS,
    summary="Rebuild the read model",
    about="Starts a job that does what `cinelog rebuild` does: it builds a new generation beside "
    "the live one, compares the two and switches. One job runs at a time.",
    answers={202: _JOB_STARTED},
    refuses=_STARTS,
)
async def start_rebuild(request: CinelogRequest) -> HTTPResponse:
    """Start a rebuild."""
    return await _start(request, REBUILD, {})


@blueprint.post("/verify/", name="verify")
@Operation(
    id="startVerify",
    tag=tags.OPERATORS,
    summary="Compare the read model with the log",
    about="Starts a job that does what `cinelog verify` does; with `repair`, differences are "
    "corrected. One job runs at a time.",
    body=Body(VerifyOptions, {"repair": False}, required=False),
    answers={202: _JOB_STARTED},
    refuses=(
        InvalidError({"repair": ["Must be a valid boolean."]}),
        *errors.unreadable(JSON),
        *_STARTS,
    ),
)
async def start_verify(request: CinelogRequest) -> HTTPResponse:
    """Start a verification."""
    options = VerifyOptions.of(read_body(request))
    return await _start(request, VERIFY, {"repair": options.repair})


@blueprint.get("/jobs/<job_id>/", name="job")
@Operation(
    id="readJob",
    tag=tags.OPERATORS,
    summary="Read a job",
    about="Its progress while it runs, then its outcome: what the command line prints with "
    "`--json`. A job whose process has died is `failed`. Jobs are kept for a day.",
    takes=(parameters.JOB_ID,),
    answers={200: Answer("The job.", representations.Job, example=examples.JOB_DONE)},
    refuses=(_NO_JOB, *REFUSED),
)
async def job(request: CinelogRequest, job_id: str) -> HTTPResponse:
    """Answer a job."""
    runner = container_of(request).job_runner
    found = await runner.threads.run(runner.jobs.read, job_id)
    return json_response(found.to_dict())


async def _start(request: CinelogRequest, kind: Kind, options: dict[str, bool]) -> HTTPResponse:
    runner = container_of(request).job_runner
    started = await runner.start(kind, request.principal.username, options)
    location = link(request, f"{PATH}/jobs/{started.id}/")
    return json_response(started.to_dict(), 202, {"Location": location})


async def _run(container: Container, work: Callable[[Any], Any]) -> Any:
    """Run work on Redis, on a thread of the operators. Raises ReadModelUnavailableError."""
    runner = container.job_runner

    def call() -> Any:
        with runner.jobs.reachable() as client:
            return work(client)

    return await runner.threads.run(call)


def _parked(mark: Parked) -> dict[str, Any]:
    fields = mark._asdict()
    return {"movie_id": fields.pop("id"), **fields}
