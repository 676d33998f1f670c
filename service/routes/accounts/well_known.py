"""The routes by which OAuth clients and other services discover keys and endpoints."""

from collections.abc import Mapping
from typing import Any

from sanic import Blueprint, Request

from service.auth.server import server_metadata
from service.container import container_of
from service.openapi import tags
from service.openapi.model import Answer, Operation
from service.web.representations import accounts as representations
from service.web.request import API
from service.web.response import HTTPResponse, json_response

blueprint = Blueprint("well_known", url_prefix="/.well-known")


@blueprint.get("/jwks.json", name="jwks", ctx_open=True)
@Operation(
    id="readKeys",
    tag=tags.TOKENS,
    summary="Read the keys that verify tokens",
    about="A JWK Set (RFC 7517).",
    answers={200: Answer("The keys.", representations.KeySet)},
    slash=False,
)
async def show_keys(request: Request) -> HTTPResponse:
    """Answer the keys that verify our tokens (RFC 7517)."""
    return _public(container_of(request).tokens.keys.public())


@blueprint.get("/oauth-authorization-server", name="metadata", ctx_open=True)
@Operation(
    id="readMetadata",
    tag=tags.TOKENS,
    summary="Read what an OAuth client wants to know",
    about="Authorization server metadata (RFC 8414).",
    answers={200: Answer("The metadata.", representations.ServerMetadata)},
    slash=False,
)
async def show_metadata(request: Request) -> HTTPResponse:
    """Answer the metadata that OAuth clients discover (RFC 8414)."""
    return _public(server_metadata(container_of(request).settings, API))


def _public(body: Mapping[str, Any]) -> HTTPResponse:
    return json_response(body, headers={"Cache-Control": "public, max-age=300"})
