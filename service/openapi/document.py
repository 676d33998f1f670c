"""The whole description: every route that the router knows, with what its table says of it."""

import re
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from sanic import Sanic
from sanic_routing.route import Route

from service.auth.tokens import SCOPE
from service.middleware import is_open
from service.openapi import accounts, events, health, movies, tokens
from service.openapi.about import ABOUT
from service.openapi.model import Json, Operation, Table
from service.openapi.writer import Writer
from service.routes.pagination import API
from service.settings import Settings

TABLE: Table = movies.TABLE | events.TABLE | accounts.TABLE | tokens.TABLE | health.TABLE
_TAGS = {
    movies.TAG: "Movies belong to the account that created them; all accounts see them.",
    events.TAG: "What happened, straight from the log.",
    accounts.TAG: "Accounts look after themselves.",
    tokens.TAG: "Short-lived access tokens, and refresh tokens that are good once.",
    health.TAG: "For those who run the service.",
    health.SELF: "What you are reading.",
}
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of `signIn` or `refresh`.",
    },
    "password": {
        "type": "oauth2",
        "description": "Signs in with username and password. No client id or secret is needed.",
        "flows": {
            "password": {
                "tokenUrl": f"{API}/auth/token/",
                "refreshUrl": f"{API}/auth/token/",
                "scopes": {SCOPE: "All that an account may do."},
            }
        },
    },
}
_PARAMETER = re.compile(r"<([^:>]+)[^>]*>")


def document_of(app: Sanic[Any, Any], settings: Settings) -> Json:
    """Return the description of the routes of ``app``."""
    routes = {route.handler: route for route in app.router.routes}
    paths: dict[str, dict[str, Operation]] = {}
    described = {handler: one for handler, one in TABLE.items() if not one.hidden}
    for handler, operation in described.items():
        route = routes[handler]
        path = paths.setdefault(path_of(route, slash=operation.slash), {})
        said = replace(operation, open=is_open(app, route))
        path |= {method.lower(): said for method in route.methods}
    writer = Writer(described.values())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cinelog",
            "version": version("cinelog"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": settings.public_url or "/"}],
        "security": [{"bearer": []}, {"password": [SCOPE]}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": {path: writer.path(path, operations) for path, operations in paths.items()},
        "components": writer.components | {"securitySchemes": _SECURITY},
    }


def path_of(route: Route, *, slash: bool) -> str:
    """Return the path of a route as OpenAPI writes it."""
    path = "/" + _PARAMETER.sub(r"{\1}", route.path).strip("/")
    return f"{path}/" if slash else path


def produced_types() -> dict[Any, str | None]:
    """Return the media type that each handler answers."""
    return {handler: operation.produces for handler, operation in TABLE.items()}
