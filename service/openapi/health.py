"""What there is to say of the operators' routes, and of this description itself."""

from sanic.exceptions import NotFound

from service.openapi import parameters, request_headers, response_headers
from service.openapi.model import Answer, Operation, Table
from service.routes import docs, health
from service.web import representations

TAG, SELF = "Operations", "Description"
_KEPT = (response_headers.CACHE_CONTROL,)
_KNOWN = (response_headers.FILE_TAG, response_headers.CACHE_CONTROL, response_headers.VARY)
_FILE = (*_KNOWN, response_headers.CONTENT_ENCODING)
_SAME = Answer("Nothing has changed.", None, _KNOWN)
_READY = {
    "status": "ready",
    "event_store": {
        "state": "ok",
        "log": "0f8fad5b-d9cb-469f-a165-70867728950e.1",
        "position": 42,
    },
    "read_model": {"state": "live", "position": 42, "parked": 0, "format": 2, "format_expected": 2},
    "projection": {"state": "active", "lag_events": 0, "lag_seconds": 0.0},
}
_UNREADY = _READY | {"status": "unavailable", "read_model": {"state": "unavailable"}}

TABLE: Table = {
    health.livez: Operation(
        id="isAlive",
        tag=TAG,
        summary="Liveness probe",
        about="Answers 200 while the process serves.",
        answers={200: Answer("It does.", representations.Alive, _KEPT, example={"status": "ok"})},
        slash=False,
        limited=False,
    ),
    health.readyz: Operation(
        id="isReady",
        tag=TAG,
        summary="Readiness probe",
        about="Reports the state of each part; 503 while a part that requests need is unavailable.",
        answers={
            200: Answer("All answer.", representations.Readiness, _KEPT, example=_READY),
            503: Answer(
                "A part is away, so that some calls are refused.",
                representations.Readiness,
                _KEPT,
                example=_UNREADY,
            ),
        },
        slash=False,
        limited=False,
    ),
    health.metrics: Operation(
        id="readMetrics",
        tag=TAG,
        summary="Read the metrics",
        about="The sums over all API processes, in the Prometheus text format.",
        answers={
            200: Answer("The metrics.", str, _KEPT, media="text/plain", example="cinelog_up 1\n")
        },
        slash=False,
        limited=False,
    ),
    docs.show_description: Operation(
        id="readDescription",
        tag=SELF,
        summary="Read this description",
        about="An OpenAPI 3.1 document.",
        takes=(request_headers.IF_NONE_MATCH,),
        answers={200: Answer("OpenAPI 3.1.", representations.Description, _FILE), 304: _SAME},
        slash=False,
    ),
    docs.show_page: Operation(
        id="readPage",
        tag=SELF,
        summary="Read this description as a page",
        about="An HTML page.",
        hidden=True,
        takes=(request_headers.IF_NONE_MATCH,),
        answers={200: Answer("The page.", str, _FILE, media="text/html"), 304: _SAME},
        slash=False,
    ),
    docs.show_file: Operation(
        id="readPageFile",
        tag=SELF,
        summary="Read a file of the page",
        about="A script or a style sheet.",
        hidden=True,
        takes=(parameters.FILE_NAME, request_headers.IF_NONE_MATCH),
        answers={200: Answer("The file.", str, _FILE, media="*/*"), 304: _SAME},
        refuses=(NotFound(),),
        slash=False,
    ),
}
