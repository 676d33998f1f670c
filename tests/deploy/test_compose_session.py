"""The services of docker-compose.yml, as processes on real PostgreSQL, Valkey and HAProxy."""

import json
import signal
import time
from contextlib import closing

import httpx
import pytest
from httpx_sse import connect_sse

from projections.generation.state import ROW_FORMAT
from projections.keys import lease_of
from tests.running import PASSWORD, eventually, persistently

pytestmark = pytest.mark.xdist_group("deploy")  # modules that share the services
MOVIE = {"title": "Ant Man and The Wasp", "genre": "Action", "year": 2018}
INSIDE_ONLY = [
    "/metrics",
    "/readyz",
    "/livez",
    "/metrics/",
    "//metrics",
    "/%6detrics",
    "/readyz?x=/api/",
]


@pytest.fixture(scope="module")
def client(stack):
    """A client outside, at the published port, whose account is ann's."""
    url = f"http://127.0.0.1:{stack.ports['127.0.0.1:8000']}"
    with closing(httpx.Client(base_url=url, timeout=10)) as client:
        account = {"username": "ann", "email": "ann@example.org"}
        account |= {"password": PASSWORD, "password2": PASSWORD}
        assert client.post("/api/v1/auth/register/", json=account).status_code == 201
        sign_in = {"username": "ann", "password": PASSWORD}
        client.pair = client.post("/api/v1/auth/token/", json=sign_in).json()
        client.headers["Authorization"] = f"Bearer {client.pair['access']}"
        yield client


def create(client, headers=None, **changes):
    return client.post("/api/v1/movies/", json=MOVIE | changes, headers=headers)


def ask_node(stack, node, path, token=""):
    """Return the status of a node itself, asked from inside."""
    code = (
        "import sys, urllib.request as r, urllib.error as e\n"
        "try: print(r.urlopen(r.Request(sys.argv[1], headers={'Authorization': sys.argv[2]})).status)\n"
        "except e.HTTPError as error: print(error.code)"
    )
    url = f"http://127.0.0.1:8000{path}"
    done = stack.run_in(node, "python", "-c", code, url, f"Bearer {token}")
    return int(done.stdout)


def active_projection(stack):
    """Return the container of the projection that holds the lease."""
    ask = f'REDISCLI_AUTH="$(cat /run/secrets/valkey)" valkey-cli get {lease_of(ROW_FORMAT)}'
    holder = stack.run_in("valkey.1", "sh", "-c", ask).stdout
    return stack.container_of(int(holder.split(":")[1])) if ":" in holder else None


def test_the_classic_session(client):
    created = create(client)
    assert created.status_code == 201
    movie = created.json()
    url = f"/api/v1/movies/{movie['id']}/"
    assert created.headers["location"].endswith(url)

    changed = client.patch(url, json={"title": "Ant-Man and the Wasp"})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    page = client.get("/api/v1/movies/?title=ant-man").json()
    assert [row["id"] for row in page["results"]] == [movie["id"]]

    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
    assert client.get(f"{url}history/").json()["count"] == 3


def test_a_node_takes_the_tokens_of_the_other(stack, client):
    token = client.pair["access"]
    assert [ask_node(stack, n, "/api/v1/auth/me/", token) for n in ("api-1.1", "api-2.1")] == [
        200,
        200,
    ]


def test_a_stream_passes_the_proxy_event_by_event(client):
    with connect_sse(client, "GET", "/api/v1/events/stream") as stream:
        events = stream.iter_sse()
        for title in ("Alien", "Aliens"):
            sent_at = time.monotonic()
            movie = create(client, title=title).json()
            assert movie["id"] in next(e for e in events if e.event != "position").data
            assert time.monotonic() - sent_at < 5


@pytest.mark.parametrize("path", INSIDE_ONLY)
def test_probes_and_metrics_stay_inside(client, path):
    answer = client.get(f"{str(client.base_url).rstrip(chr(47))}{path}")  # as it is
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "cinelog_" not in answer.text


def test_probes_and_metrics_are_served_inside(stack):
    for path in ("/metrics", "/readyz"):
        eventually(lambda path=path: ask_node(stack, "api-1.1", path) == 200, 30, 0.5)


def test_every_path_of_the_description_is_forwarded_but_those(client):
    """The proxy's own refusal has no request id."""
    paths = client.get("/openapi.json").json()["paths"]
    assert len(paths) > 30
    answers = {path: client.options(path) for path in ("/", "/docs", *paths)}
    kept = {path for path, answer in answers.items() if "x-request-id" not in answer.headers}
    assert kept <= {"/metrics", "/readyz", "/livez"}


def test_a_client_cannot_claim_another_scheme(client):
    created = create(client, {"X-Forwarded-Proto": "https"})
    assert created.headers["location"].startswith("http://")


def test_the_service_goes_on_while_a_node_is_killed(stack, client):
    """A write that the node was carrying out is tried again with its key."""
    stack.stop("api-1.1", signal.SIGKILL)
    for number in range(5):
        key = {"Idempotency-Key": f"killed-{number}"}
        assert persistently(lambda key=key: create(client, key)).status_code == 201
        assert client.get("/api/v1/movies/").status_code == 200
    stack.start("api-1.1")


def test_the_standby_projection_takes_over(stack, client):
    active = eventually(lambda: active_projection(stack))
    stack.stop(active, signal.SIGKILL)
    eventually(lambda: active_projection(stack) not in (None, active), 30, 0.2)
    eventually(lambda: "read-model" not in create(client).headers, 30, 0.5)


def test_the_log_is_backed_up_and_restored(stack, client):
    """A trial has a data directory of its own: the service's remembers which log it serves."""
    assert create(client).status_code == 201
    container = active_projection(stack)
    made = json.loads(stack.run_in(container, "cinelog", "backup", "--json").stdout)
    assert made["position"] > 0
    assert stack.run_in(container, "cinelog", "backup", "verify").returncode == 0
    stores = ("EVENT_STORE_URL", "EVENT_STORE_PASSWORD_FILE", "REDIS_URL", "REDIS_PASSWORD_FILE")
    unset = [word for name in stores for word in ("-u", f"CINELOG_{name}")]
    trial = ["env", *unset, "CINELOG_DATA_DIR=/tmp/trial", "cinelog", "restore", "--json"]
    done = stack.run_in(container, *trial)
    assert json.loads(done.stdout)["position"] == made["position"], done.stderr
