"""The API's description, ``/openapi.json``, and a page that shows it, ``/docs``.

Both are sent in gzip to clients that accept it. The page is swagger-ui from the package's files. It
requests nothing from other hosts, and its Content-Security-Policy forbids it.
"""

import asyncio
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from sanic import Blueprint
from sanic.exceptions import NotFound

from service.openapi import request_headers, response_headers, tags
from service.openapi.model import Answer, Operation, Parameter
from service.settings import Settings
from service.web.body import JSON
from service.web.representations import root as representations
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse
from service.web.static_file import CSS, HTML, REVALIDATED, SCRIPT, File, file_of

_FILES = {
    "start.js": ("docs/start.js", SCRIPT),
    "style.css": ("docs/style.css", CSS),
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", SCRIPT),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", CSS),
}
_FILE_NAME = Parameter("name", "path", "The file.", {"enum": list(_FILES)}, key="FileName")
# The page may load its own files, and the images inside its style sheet.
_POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}
_CACHED = "public, max-age=3600"

blueprint = Blueprint("docs")


class Docs(NamedTuple):
    """The API's description and its page; made once, when a process starts."""

    description: File
    page: File

    @classmethod
    def of(cls, document: dict[str, Any], settings: Settings) -> "Docs":
        """Return the encoded description and page."""
        below = urlsplit(settings.public_url or "").path.rstrip("/")
        page = _asset("docs/page.html").replace(b"{below}", below.encode())
        return cls(file_of(orjson.dumps(document), JSON), file_of(page, HTML))


_KNOWN = (response_headers.FILE_TAG, response_headers.CACHE_CONTROL, response_headers.VARY)
_FILE = (*_KNOWN, response_headers.CONTENT_ENCODING)
_SAME = Answer("Nothing has changed.", None, _KNOWN)


@blueprint.get("/openapi.json", name="description", ctx_open=True)
@Operation(
    id="readDescription",
    tag=tags.DESCRIPTION,
    summary="Read this description",
    about="An OpenAPI 3.1 document.",
    takes=(request_headers.IF_NONE_MATCH,),
    answers={200: Answer("OpenAPI 3.1.", representations.Description, _FILE), 304: _SAME},
    slash=False,
)
async def show_description(request: CinelogRequest) -> HTTPResponse:
    """Answer the OpenAPI description."""
    docs: Docs = request.app.ctx.docs
    return docs.description.answer(request, REVALIDATED)


@blueprint.get("/docs", name="page", ctx_open=True)
@Operation(
    id="readPage",
    tag=tags.DESCRIPTION,
    summary="Read this description as a page",
    about="An HTML page.",
    hidden=True,
    takes=(request_headers.IF_NONE_MATCH,),
    answers={200: Answer("The page.", str, _FILE, media="text/html"), 304: _SAME},
    slash=False,
)
async def show_page(request: CinelogRequest) -> HTTPResponse:
    """Answer the page."""
    docs: Docs = request.app.ctx.docs
    response = docs.page.answer(request, REVALIDATED)
    response.headers.update(_POLICY)
    return response


@blueprint.get("/docs/<name>", name="file", ctx_open=True)
@Operation(
    id="readPageFile",
    tag=tags.DESCRIPTION,
    summary="Read a file of the page",
    about="A script or a style sheet.",
    hidden=True,
    takes=(_FILE_NAME, request_headers.IF_NONE_MATCH),
    answers={200: Answer("The file.", str, _FILE, media="*/*"), 304: _SAME},
    refuses=(NotFound(),),
    slash=False,
)
async def showfile_of(request: CinelogRequest, name: str) -> HTTPResponse:
    """Answer a file of the page."""
    file = await asyncio.to_thread(_page_file, name)  # compressed on first use
    return file.answer(request, _CACHED)


@lru_cache(len(_FILES))
def _page_file(name: str) -> File:
    if name not in _FILES:
        raise NotFound
    path, media = _FILES[name]
    return file_of(_asset(path), media)


def _asset(path: str) -> bytes:
    return files("service").joinpath("assets", *path.split("/")).read_bytes()
