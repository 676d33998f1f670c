"""The API description is valid, complete and consistent with the routes."""

import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from commands.errors import InvalidError
from commands.messages import MovieChanges, MovieFields, Registration, RevertTarget
from service.app import create_app
from service.auth.schemas import (
    Credentials,
    PasswordChange,
    PasswordReset,
    PersonalTokenFields,
    RefreshBody,
    TokenBody,
)
from service.openapi.document import document_of
from service.openapi.model import OPERATIONS
from service.settings import Settings
from service.web.browsers.cors import ALLOWED, EXPOSED
from tests.controls import ALIEN
from tests.running import run

OPEN = {
    "register", "signIn", "refresh", "verify", "revoke", "readKeys", "readMetadata",
    "isAlive", "isReady", "readMetrics", "readDescription", "resetPassword",
    "openBrowserSession", "refreshBrowserSession", "endBrowserSession",
}  # fmt: skip
OAUTH = {"signIn", "refresh", "revoke"}
SIGNING = {*OAUTH, "verify", "openBrowserSession", "refreshBrowserSession"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("app"))
    return create_app(settings, name="described")


@pytest.fixture(scope="module")
def description(app):
    return document_of(app, Settings())


def operations(description):
    for path, item in description["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def resolve(description, node):
    for part in node.get("$ref", "#").split("/")[1:]:
        description = description[part]
    return description if "$ref" in node else node


def test_the_document_is_valid(description):
    OpenAPIV31SpecValidator(description).validate()


def test_exactly_the_routes_are_described(app, description):
    """A route without an Operation fails here."""
    routed = set()
    for route in app.router.routes:
        path = "/" + re.sub(r"<([^:>]+)[^>]*>", r"{\1}", route.path).strip("/")
        if path not in {"/", "/page/{digest}/{path}", "/docs", "/docs/{name}"}:  # pages for people
            routed |= {
                (path, method) for method in route.methods if method not in {"HEAD", "OPTIONS"}
            }
    described = {(path.rstrip("/"), method.upper()) for path, method, _ in operations(description)}
    assert described == routed
    assert {route.handler for route in app.router.routes} == set(OPERATIONS)


def test_paths_have_their_canonical_form(description):
    """Paths end in a slash, except files and those without one by contract."""
    without = {path for path in description["paths"] if not path.endswith("/")}
    assert without == {
        "/.well-known/jwks.json", "/.well-known/oauth-authorization-server",
        "/api/v1/events/stream", "/api/v1/events/summary", "/livez", "/metrics",
        "/openapi.json", "/readyz",
    }  # fmt: skip


def test_operation_ids_are_unique(description):
    ids = [operation["operationId"] for _, _, operation in operations(description)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z]\w*", name) for name in ids)


def test_security_of_operations(description):
    """All operations but the public ones require credentials and describe the 401."""
    for _, _, operation in operations(description):
        name = operation["operationId"]
        is_open = name in OPEN
        assert (operation.get("security") == []) is is_open, name
        assert ("401" in operation["responses"]) is (not is_open or name in SIGNING), name
    assert description["security"][0] == {"bearer": []}
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_operations_are_fully_described(description):
    """Each operation has a summary, a described tag, examples and its responses."""
    tags = {tag["name"] for tag in description["tags"]}
    for _, _, operation in operations(description):
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags
        for parameter in operation["parameters"]:
            assert resolve(description, parameter)["description"]
        for status, answer in operation["responses"].items():
            assert answer["description"], (operation["operationId"], status)
            assert "X-Request-ID" in answer["headers"]
            if status >= "400" and operation["operationId"] != "isReady":
                (content,) = answer["content"].items()
                is_oauth_error = (operation["operationId"], status) == ("revoke", "401")
                kind = "application/json" if is_oauth_error else "application/problem+json"
                assert content[0] == kind
                assert content[1]["examples"]
        if body := operation.get("requestBody"):
            assert all(content["example"] for content in body["content"].values())


def test_described_headers_are_available_across_origins(description):
    """CORS allows all described request headers and exposes all described response headers."""
    sent, read = set(), set()
    for _, _, operation in operations(description):
        sent |= {
            resolved["name"]
            for parameter in operation["parameters"]
            if (resolved := resolve(description, parameter))["in"] == "header"
        }
        for answer in operation["responses"].values():
            read |= set(answer["headers"])
    assert sent <= set(ALLOWED)
    # Browsers expose Cache-Control always; pages do not need, or may not have, the others.
    assert read - set(EXPOSED) <= {
        "Cache-Control", "Vary", "Accept", "Accept-Patch", "Accept-Encoding", "Allow",
            "Content-Encoding", "Set-Cookie",
    }  # fmt: skip


def test_servers(app):
    assert document_of(app, Settings())["servers"] == [{"url": "/"}]
    public = Settings(public_url="https://movies.example.org/x")
    assert document_of(app, public)["servers"] == [{"url": "https://movies.example.org/x"}]


def test_the_document_is_served_and_cacheable(service, description):
    """The document is the same in every process, so that clients may cache it."""
    with service.client() as anyone:
        served = anyone.get(f"{service.url}/openapi.json")
        assert served.json()["paths"] == description["paths"]
        assert served.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": served.headers["etag"]}
        again = anyone.get(f"{service.url}/openapi.json", headers=known)
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("shape", "path", "send"),
    [
        ("Movie", "/movies/{id}/", None),
        ("MoviePage", "/movies/", None),
        ("HistoryPage", "/movies/{id}/history/", None),
        ("EventPage", "/events/", None),
        ("OwnAccount", "/auth/me/", None),
        ("SessionPage", "/auth/sessions/", None),
        ("AccountHistoryPage", "/auth/me/history/", None),
        ("PersonalTokenPage", "/auth/tokens/", None),
        ("KeySet", "/../../.well-known/jwks.json", None),
        ("ServerMetadata", "/../../.well-known/oauth-authorization-server", None),
        ("Alive", "/../../livez", None),
        ("Readiness", "/../../readyz", None),
        ("Problem", "/movies/", {"year": "soon"}),
    ],
)
def test_answers_have_exactly_the_described_fields(ann, description, shape, path, send):
    """Schemathesis checks the described fields; this test rejects undescribed ones."""
    movie = ann.post("/movies/", json=ALIEN).json()
    path = path.format(id=movie["id"])
    answer = (ann.post(path, json=send) if send else ann.get(path)).json()
    _check_fields(description, {"$ref": f"#/components/schemas/{shape}"}, answer)


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ("Status", "/ops/status/"),
        ("ParkedPage", "/ops/parked/"),
        ("AccountPage", "/ops/accounts/"),
        ("Job", None),
        ("PasswordLink", "/ops/accounts/ann/password-link/"),
    ],
)
def test_answers_to_operators_have_exactly_the_described_fields(
    operator, ann, description, shape, path
):
    if path is None:
        path = operator.post("/ops/verify/").headers["location"]
    method = "POST" if shape == "PasswordLink" else "GET"
    answer = operator.request(method, path)
    assert answer.is_success, answer.text
    _check_fields(description, {"$ref": f"#/components/schemas/{shape}"}, answer.json())


@pytest.fixture(scope="module")
def operator(service):
    client = service.account("operator-of-descriptions")
    assert run(service.data_dir, "operator", "add", client.account["username"]).returncode == 0
    return client


def _check_fields(description, schema, value):
    schema = resolve(description, schema)
    if isinstance(value, list):
        for one in value:
            _check_fields(description, schema["items"], one)
    elif isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys() <= set(schema["properties"])
        for name, one in value.items():
            _check_fields(description, schema["properties"][name], one)


VALID_BODIES = {
    MovieFields: ALIEN,
    MovieChanges: {},
    RevertTarget: {"version": 1},
    Registration: {
        "username": "ann", "email": "ann@example.org", "password": "correct-horse-7",
        "password2": "correct-horse-7",
    },
    Credentials: {"username": "ann", "password": "x"},
    PasswordChange: {"old_password": "x", "new_password": "y" * 8, "new_password2": "y" * 8},
    PasswordReset: {"token": "x", "password": "y" * 8, "password2": "y" * 8},
    RefreshBody: {"refresh": "x"},
    TokenBody: {"token": "x"},
    PersonalTokenFields: {"name": "x", "scope": "read"},
}  # fmt: skip
VALUES = [
    None, True, False, 0, 1, -1, 1979, 1979.0, 1979.5, 9999, 10000, 2**53, 2**53 + 1, 1e300, "", " ",
    "\t\n", "\x1c\x1e", "\x85", "x", " x ", "x" * 100, "x" * 101, " " + "x" * 100 + " ",
    "x" * 150, "x" * 151, "x" * 1024, "x" * 1025, "\0", "a\0b", "1979", " 1979 ", "1979.0", "1979.",
    "1979.5", "+1979", "-1979", "01979", "0", "9999", "10000", "1_9", "MCMLXXIX", "a b", "a@b",
    "a/b", "read", "ä", "漢字", "\u200b", "\u2060\ufeff", "\u3164", "\ufe0f", "\x07", "\u200bx", [], ["x"], {}, {"x": 1},
]  # fmt: skip
# The schema does not describe e-mail addresses.
UNDESCRIBED = {"email"}


@pytest.mark.parametrize("model", VALID_BODIES, ids=lambda model: model.__name__)
def test_fields_accept_all_values_valid_by_schema(description, model):
    """A field accepts every value that is valid by its schema and has a plain type."""
    schema = description["components"]["schemas"][model.__name__]
    assert set(schema["properties"]) == set(model.model_fields)
    for name, field in schema["properties"].items():
        assert field["type"] in {"string", "integer"}
        validator = Draft202012Validator(field)
        valid = [value for value in VALUES if validator.is_valid(value)]
        assert valid
        if name not in UNDESCRIBED:
            assert [value for value in valid if not _accepts(model, name, value)] == []


def _accepts(model, name, value):
    try:
        model.of(VALID_BODIES[model] | {name: value})
    except InvalidError as error:
        return name not in error.errors
    return True
