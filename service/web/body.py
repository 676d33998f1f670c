"""Reading request bodies: JSON, and forms or merge patches where a path takes them.

A byte order mark before JSON is skipped (RFC 8259, 8.1). A body with a content coding is refused,
because its decoded size is unbounded.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import orjson

from service.errors import MalformedError, MediaTypeError, NotAnObjectError
from service.web.request import CinelogRequest

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MERGE_PATCH = "application/merge-patch+json"
PATCHES = (JSON, MERGE_PATCH)
_MAX_FIELDS = 100


def read_body(request: CinelogRequest, *, also: str | None = None) -> dict[str, Any]:
    """Return the body as a dictionary, empty without a body. ``also`` is accepted beside JSON.

    Raises MediaTypeError, MalformedError (broken JSON, not UTF-8, lone surrogates, too deep) and
    NotAnObjectError.
    """
    if not request.body:
        return {}
    accepted = (JSON, also) if also else (JSON,)
    if not set(_codings(request)) <= {"identity"}:
        raise MediaTypeError(*accepted, encoded=True)
    kind = media_type(request)
    if kind not in accepted:
        raise MediaTypeError(*accepted)
    if kind == FORM:
        return _form(request.body)
    try:
        body = orjson.loads(request.body.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError:
        raise MalformedError("JSON parse error.") from None
    if not isinstance(body, dict):
        raise NotAnObjectError(type(body).__name__)
    return body


def media_type(request: CinelogRequest) -> str:
    """Return the media type of the body without parameters, "" unless exactly one is sent."""
    kinds = request.headers.getall("content-type", [])
    return kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""


def _codings(request: CinelogRequest) -> Iterator[str]:
    for line in request.headers.getall("content-encoding", []):
        yield from filter(None, (one.strip().lower() for one in line.split(",")))


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise MalformedError("Form parse error.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):  # RFC 6749, 3.2
        raise MalformedError("Form parse error: a field is repeated.")
    return fields
