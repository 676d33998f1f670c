"""The router requires credentials; handlers need not check them."""

import sys
from pathlib import Path

import pytest

from tests.running import Cinelog, problem, run

START = """
import os, sys
os.environ["PYTHONPATH"] = sys.argv.pop(1)
from service.cli.main import main
from service.processes import supervisor
supervisor.serve.__kwdefaults__["app"] = "undeclared_routes:create_app"
main()
"""
CALLS = [
    ("GET", "/api/v1/undeclared/1/"),
    ("HEAD", "/api/v1/undeclared/1/"),
    ("GET", "/api/v1/undeclared/1"),
    ("POST", "/misdeclared"),
    ("DELETE", "/late/"),
    ("GET", "/socket"),
    ("GET", "/own.py"),
]
OPERATORS = "/api/v1/ops/undeclared/"


class WithMoreRoutes(Cinelog):
    command = (sys.executable, "-c", START, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    with WithMoreRoutes(tmp_path_factory.mktemp("extended") / "var") as service:
        yield service


@pytest.mark.parametrize(("method", "path"), [*CALLS, ("POST", OPERATORS)])
def test_a_route_without_declaration_needs_credentials(extended, method, path):
    with extended.client() as anyone:
        none = anyone.request(method, extended.url + path)
        bad = anyone.request(method, extended.url + path, headers={"Authorization": "Bearer x"})
    assert (none.status_code, bad.status_code) == (401, 401)
    assert none.headers["www-authenticate"] == 'Bearer realm="api"'
    assert bad.headers["www-authenticate"] == 'Bearer realm="api", error="invalid_token"'
    if method != "HEAD":
        problem(none, 401, "not_authenticated")
        problem(bad, 401, "token_not_valid")


def test_an_account_may_call_undeclared_routes(extended):
    ann = extended.account("ann")
    for method, path in CALLS:
        if path != "/socket":
            assert ann.request(method, extended.url + path).status_code == 200, path
    assert ann.delete(f"{extended.url}/late/").text == "ann"


def test_below_ops_the_role_is_checked_without_a_declaration(extended):
    oz = extended.account("oz")
    problem(oz.post(extended.url + OPERATORS), 403, "permission_denied")
    assert run(extended.data_dir, "operator", "add", "oz").returncode == 0
    assert oz.post(extended.url + OPERATORS).text == "secret"


def test_an_open_route_needs_no_credentials(extended):
    """Credentials are ignored, even invalid ones."""
    with extended.client() as anyone:
        for headers in ({}, {"Authorization": "Bearer x"}):
            for method, expected in (("GET", "anyone"), ("HEAD", "")):
                answer = anyone.request(method, f"{extended.url}/declared", headers=headers)
                assert (answer.status_code, answer.text) == (200, expected)
        assert anyone.options(f"{extended.url}/api/v1/undeclared/1/").status_code == 204
        problem(anyone.get(f"{extended.url}/api/v1/nowhere/"), 404, "not_found")
        problem(anyone.put(f"{extended.url}/api/v1/undeclared/1/"), 405, "method_not_allowed")


def test_order_of_checks(ann, bob, service):
    """The order is 406, credentials, existence, ownership, body."""
    alien = {"title": "Alien", "genre": "Horror", "year": 1979}
    one = f"/movies/{ann.post('/movies/', json=alien).json()['id']}/"
    none = "/movies/019a0b6c-57e4-7d31-9d4c-2f1d3f0a6b58/"
    html, wrong = {"Accept": "text/html"}, {"year": "soon"}
    with service.client() as anyone:
        problem(anyone.put(none, json=wrong, headers=html), 406, "not_acceptable")
        problem(anyone.put(none, json=wrong), 401, "not_authenticated")
    for path, call in ((none, {"json": wrong}), ("/movies/x/", {"content": b"{"})):
        problem(bob.put(path, **call), 404, "not_found")
    for body in ({"json": wrong}, {"content": b"{"}, {"content": b"x"}):
        for method in ("PUT", "PATCH"):
            problem(bob.request(method, one, **body), 403, "permission_denied")
        problem(bob.post(f"{one}revert/", **body), 403, "permission_denied")
    problem(ann.put(one, json=wrong), 400, "invalid")


def test_two_authorization_headers_are_refused(ann, service):
    good = ann.headers["authorization"]
    for pair in ([good, "Bearer x"], [good, good]):
        headers = [("Authorization", value) for value in pair]
        with service.client() as anyone:
            problem(anyone.get("/movies/", headers=headers), 401, "token_not_valid")
