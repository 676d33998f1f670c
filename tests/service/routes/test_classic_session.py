"""The session of the README with the real HTTPie client."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HTTP = Path(sys.executable).with_name("http")
PASSWORD = "sWordfish-77"


@pytest.fixture(scope="module")
def session(service):
    """Run a line of the README; return status and body."""

    def run(line):
        words = shlex.split(line.replace(":8000", f":{service.port}"))
        assert words[0] == "http"
        args = [HTTP, "--ignore-stdin", "--print=hb", "--pretty=none", *words[1:]]
        output = subprocess.run(args, capture_output=True, text=True, check=True, timeout=30).stdout
        head, _, body = output.replace("\r\n", "\n").partition("\n\n")
        return int(head.split()[1]), json.loads(body) if body.strip() else None

    return run


def test_the_classic_session(session):
    api = "http {} :8000/api/v1"
    status, account = session(
        f'{api.format("POST")}/auth/register/ email="email@email.com" username="USERNAME"'
        f' password1="{PASSWORD}" password2="{PASSWORD}"'
    )
    assert (status, account["username"], account["email"]) == (201, "USERNAME", "email@email.com")
    assert account.keys() == {"id", "username", "email", "first_name", "last_name"}

    status, pair = session(
        f'http :8000/api/v1/auth/token/ username="USERNAME" password="{PASSWORD}"'
    )
    assert (status, pair["token_type"], pair["expires_in"]) == (200, "Bearer", 3600)
    status, pair = session(f'http :8000/api/v1/auth/token/refresh/ refresh="{pair["refresh"]}"')
    assert status == 200
    auth = f'"Authorization: Bearer {pair["access"]}"'

    status, page = session(f"http :8000/api/v1/movies/ {auth}")
    assert (status, page.keys()) == (200, {"count", "next", "previous", "results"})
    status, movie = session(
        f'http POST :8000/api/v1/movies/ {auth} title="Ant Man and The Wasp" genre="Action" year=2018'
    )
    assert (status, movie["year"], movie["creator"]) == (201, 2018, "USERNAME")
    url = f":8000/api/v1/movies/{movie['id']}/"
    status, movie = session(
        f'http PUT {url} {auth} title="AntMan and The Wasp" genre="Action" year=2018'
    )
    assert (status, movie["title"], movie["version"]) == (200, "AntMan and The Wasp", 2)
    status, movie = session(f'http PATCH {url} {auth} title="AntMan and The Wasp"')
    assert (status, movie["version"]) == (200, 2)

    for query, finds in (
        ("title=AntMan", True),
        ("year=2020", False),
        ("year__gt=2017&year__lt=2019&genre=Action", True),
        ("year__gt=2019&year__lt=2022&genre=Action", False),
        ("creator__username=USERNAME", True),
    ):
        status, page = session(f'http ":8000/api/v1/movies/?{query}" {auth}')
        assert status == 200
        assert (movie["id"] in [row["id"] for row in page["results"]]) == finds
    status, _ = session(f'http ":8000/api/v1/movies/?page=3&page_size=15" {auth}')
    assert status in (200, 404)

    status, body = session(f"http DELETE {url} {auth}")
    assert (status, body) == (204, None)
    status, body = session(f"http {url} {auth}")
    assert (status, body["detail"]) == (404, "No Movie matches the given query.")


def test_without_credentials(session):
    status, body = session("http :8000/api/v1/movies/")
    assert (status, body["detail"]) == (401, "Authentication credentials were not provided.")
