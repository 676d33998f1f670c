"""Longer outages of the services of docker-compose.yml: ``make test-deploy`` runs them."""

import signal

import pytest

from tests.deploy.conftest import running
from tests.deploy.test_compose_session import client, create
from tests.running import eventually, persistently

__all__ = ["client"]  # a fixture


@pytest.fixture(scope="session")
def stack(tmp_path_factory, secrets_folder):
    """With Prometheus; Grafana is no Debian package."""
    folder = tmp_path_factory.mktemp("stack")
    profiles = ["observability"]
    with running(folder, secrets_folder, profiles=profiles, without=["grafana"]) as engine:
        yield engine


def servers(stack):
    """Return the servers of the backend ``ready`` that are up."""
    code = "import urllib.request as r; print(r.urlopen('http://haproxy:8405/metrics').read().decode())"
    up = 'haproxy_server_status{proxy="ready",server="api-%d",state="UP"} 1'
    lines = stack.run_in("prometheus.1", "python3", "-c", code).stdout.splitlines()
    return {f"api-{number}" for number in (1, 2) if up % number in lines}


def test_a_node_that_comes_back_under_another_address_is_used(stack, client):
    for node, other in (("api-1", "api-2"), ("api-2", "api-1")):
        stack.stop(f"{node}.1", signal.SIGKILL)
        eventually(lambda other=other: servers(stack) == {other}, 30, 0.5)
        assert create(client).status_code == 201
        stack.start(f"{node}.1")
        eventually(lambda: servers(stack) == {"api-1", "api-2"}, 60, 0.5)


def test_without_valkey_the_nodes_serve_what_they_can(stack, client):
    """None of them is ready. Sessions survive: Valkey keeps its data."""
    movie = create(client).json()
    stack.stop("valkey.1")
    eventually(lambda: not servers(stack), 15, 0.5)
    alive = eventually(lambda: client.get(f"/api/v1/movies/{movie['id']}/"))
    assert (alive.status_code, alive.json()) == (200, movie)
    assert client.get("/api/v1/movies/").status_code == 503

    stack.start("valkey.1")
    eventually(lambda: servers(stack) == {"api-1", "api-2"}, 60, 0.5)
    refresh = {"refresh": client.pair["refresh"]}
    refreshed = persistently(lambda: client.post("/api/v1/auth/token/refresh/", json=refresh))
    assert refreshed.status_code == 200


def test_without_postgresql_lists_are_served(stack, client):
    count = client.get("/api/v1/movies/").json()["count"]
    stack.stop("postgres.1")
    eventually(lambda: not servers(stack), 15, 0.5)
    assert client.get("/api/v1/movies/").json()["count"] == count
    refused = create(client)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")

    stack.start("postgres.1")
    eventually(lambda: servers(stack) == {"api-1", "api-2"}, 60, 0.5)
    assert persistently(lambda: create(client)).status_code == 201


def test_without_a_node_the_proxy_answers_a_problem(stack, client):
    for node in ("api-1.1", "api-2.1"):
        stack.stop(node)
    answer = client.get("/api/v1/movies/")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.json()["code"], answer.headers["retry-after"]) == ("unavailable", "5")


def test_prometheus_scrapes_every_target(stack):
    code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9090/api/v1/targets').read())"
    for node in ("api-1.1", "api-2.1"):
        stack.start(node)
    for target in ("api-1:8000", "api-2:8000", "haproxy:8405"):
        wanted = f'"scrapeUrl":"http://{target}/metrics"'
        eventually(
            lambda wanted=wanted: (
                wanted in stack.run_in("prometheus.1", "python3", "-c", code).stdout
            ),
            60,
            1,
        )
