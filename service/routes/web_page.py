"""The page at ``/``, where people see what happened, and its files.

It uses the API alone. Its files have a digest of all of them in their path, so a browser keeps them
for ever, and a page never mixes the files of two releases.
"""

import asyncio
import hashlib
import posixpath
import re
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from sanic import Blueprint
from sanic.exceptions import NotFound

from service.openapi import request_headers, response_headers, tags
from service.openapi.model import Answer, Operation, Parameter
from service.routes.pagination import link
from service.web.request import API, CinelogRequest
from service.web.response import CSP, HTTPResponse, json_response
from service.web.static_file import CSS, HTML, REVALIDATED, SCRIPT, File, file_of

_MEDIA = {".js": SCRIPT, ".css": CSS}
_ENTRY = "main.js"
# Static imports alone: `import("./x.js")` loads a file when a view is shown for the first time.
_IMPORT = re.compile(rb'\b(?:from|import)\s*"(\.[^"]+)"')
_POLICY = {
    CSP: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
}
_FOR_EVER = "public, max-age=31536000, immutable"
_LINKS = {
    "movies": f"{API}/movies/",
    "events": f"{API}/events/",
    "register": f"{API}/auth/register/",
    "sign_in": f"{API}/auth/token/",
    "description": "/openapi.json",
    "documentation": "/docs",
}
_FILE = (
    response_headers.FILE_TAG,
    response_headers.CACHE_CONTROL,
    response_headers.VARY,
    response_headers.CONTENT_ENCODING,
)

blueprint = Blueprint("web_page")


@blueprint.get("/", name="root", ctx_open=True)
@Operation(
    id="readRoot",
    tag=tags.DESCRIPTION,
    summary="The page, or links to the API",
    about="A page for browsers; links for clients that do not ask for HTML.",
    hidden=True,
    takes=(request_headers.IF_NONE_MATCH,),
    answers={200: Answer("The page.", str, _FILE, media="*/*")},
    slash=False,
)
async def show_root(request: CinelogRequest) -> HTTPResponse:
    """Answer the page to a browser, and links to other clients."""
    if HTML not in request.headers.get("accept", ""):
        links = {name: link(request, path) for name, path in _LINKS.items()}
        content = {"name": "Cinelog", "version": version("cinelog"), "links": links}
        response = json_response(content)
        response.varies = "Accept"
        return response
    page = await asyncio.to_thread(_page)
    response = page.answer(request, REVALIDATED)
    response.headers.update(_POLICY)
    response.varies = "Accept, Accept-Encoding"
    return response


@blueprint.get("/page/<digest>/<path:path>", name="file", ctx_open=True)
@Operation(
    id="readPageModule",
    tag=tags.DESCRIPTION,
    summary="Read a file of the page",
    about="A script or a style sheet.",
    hidden=True,
    takes=(
        Parameter("digest", "path", "The release of the files.", {"type": "string"}, key="Digest"),
        Parameter("path", "path", "The file.", {"type": "string"}, key="FilePath"),
        request_headers.IF_NONE_MATCH,
    ),
    answers={200: Answer("The file.", str, _FILE, media="*/*")},
    refuses=(NotFound(),),
    slash=False,
)
async def show_file(request: CinelogRequest, digest: str, path: str) -> HTTPResponse:
    """Answer a file of the page.

    A page of another release gets what it begins with, so that it works while nodes are upgraded.
    What it loads later it does not get: that would not fit the files that it has.
    """
    if digest != _digest() and path.endswith(".js") and path not in await asyncio.to_thread(_first):
        raise NotFound
    file = await asyncio.to_thread(_file, path)  # compressed on first use
    return file.answer(request, _FOR_EVER if digest == _digest() else REVALIDATED)


@lru_cache
def _contents() -> dict[str, bytes]:
    """Return the content of each file by its path below the page's folder."""
    found: dict[str, bytes] = {}

    def read(folder: Traversable, below: str) -> None:
        for one in folder.iterdir():
            if one.is_dir():
                read(one, f"{below}{one.name}/")
            elif f".{one.name.rpartition('.')[2]}" in _MEDIA:
                found[below + one.name] = one.read_bytes()

    read(files("service").joinpath("web_page"), "")
    return found


@lru_cache
def _first() -> frozenset[str]:
    """Return the modules that the first view needs: the entry and what it imports."""
    contents = _contents()
    found: set[str] = set()
    waiting = [_ENTRY]
    while waiting:
        path = waiting.pop()
        if path in contents and path not in found:  # types stand in comments alone
            found.add(path)
            folder = posixpath.dirname(path)
            waiting += [
                posixpath.normpath(posixpath.join(folder, name.decode()))
                for name in _IMPORT.findall(contents[path])
            ]
    return frozenset(found)


@lru_cache
def _digest() -> str:
    digest = hashlib.sha256()
    for path, content in sorted(_contents().items()):
        digest.update(b"%b\0%d\0%b" % (path.encode(), len(content), content))
    return digest.hexdigest()[:16]


@lru_cache
def _page() -> File:
    """Return the page, which tells the browser at once which files it needs first."""
    below = f"page/{_digest()}/"
    first = sorted(_first() - {_ENTRY})
    preloads = "\n    ".join(f'<link rel="modulepreload" href="{below}{path}" />' for path in first)
    page = files("service").joinpath("web_page", "page.html").read_text(encoding="utf-8")
    page = page.replace("{files}", below).replace("{preloads}", preloads)
    return file_of(page.encode(), HTML)


@lru_cache(maxsize=256)
def _file(path: str) -> File:
    content = _contents().get(path)
    if content is None:
        raise NotFound
    return file_of(content, _MEDIA[f".{path.rpartition('.')[2]}"])
