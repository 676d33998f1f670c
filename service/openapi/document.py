"""The whole description: every route that the router knows, with what its table says of it."""

import re
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from sanic import Sanic
from sanic_routing.route import Route

from service.auth.tokens import SCOPE
from service.openapi.about import ABOUT
from service.openapi.model import OPERATIONS, Json, Operation
from service.openapi.tags import TAGS
from service.openapi.writer import Writer
from service.settings import Settings
from service.web.browsers.session_cookies import ACCESS
from service.web.negotiation import is_open
from service.web.request import API

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of `signIn` or `refresh`, or a personal token of "
        "`createPersonalToken`, which has no parts to read.",
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
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": ACCESS,
        "description": "For the service's own page; see `openBrowserSession`.",
    },
}
_PARAMETER = re.compile(r"<([^:>]+)[^>]*>")


def document_of(app: Sanic[Any, Any], settings: Settings) -> Json:
    """Return the description of the routes of ``app``."""
    routes = {route.handler: route for route in app.router.routes}
    paths: dict[str, dict[str, Operation]] = {}
    described = {handler: one for handler, one in OPERATIONS.items() if not one.hidden}
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
        "security": [{"bearer": []}, {"password": [SCOPE]}, {"cookie": []}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": {path: writer.path(path, operations) for path, operations in paths.items()},
        "components": writer.components | {"securitySchemes": _SECURITY},
    }


def path_of(route: Route, *, slash: bool) -> str:
    """Return the path of a route as OpenAPI writes it."""
    path = "/" + _PARAMETER.sub(r"{\1}", route.path).strip("/")
    return f"{path}/" if slash else path


def produced_types() -> dict[Any, str | None]:
    """Return the media type that each handler answers."""
    return {handler: operation.produces for handler, operation in OPERATIONS.items()}
