"""Reading request bodies: JSON, and forms where a path takes them."""

from typing import Any
from urllib.parse import parse_qsl

import orjson
from sanic import Request

from commands.errors import MalformedError, MediaTypeError, NotAnObjectError

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 100


def read_body(request: Request, *, form: bool = False) -> dict[str, Any]:
    """Return the body as a dictionary; an absent one is empty.

    Raises MediaTypeError, MalformedError (broken JSON, not UTF-8, lone surrogates, too deep) and
    NotAnObjectError.
    """
    if not request.body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if form and kind == FORM:
        return _form(request.body)
    if kind != JSON:
        raise MediaTypeError(JSON, *([FORM] if form else []))
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise MalformedError("JSON parse error.") from None
    if not isinstance(body, dict):
        raise NotAnObjectError(type(body).__name__)
    return body


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise MalformedError("Form parse error.") from None
    return dict(pairs)
