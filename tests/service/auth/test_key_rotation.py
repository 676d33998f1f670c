"""Rotating and retiring signing keys, in the file and under a running service."""

import json
import stat
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
import structlog

from commands.errors import ConfigurationError, TokenNotValidError
from service.auth import signing_keys as module
from service.auth.key_rotation import list_keys, retire, rotate
from service.auth.signing_keys import load_keys
from service.auth.tokens import Tokens
from service.settings import Settings
from tests.running import Cinelog, eventually, problem, run
from tests.service.auth.auth_controls import header_of, pair


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data" / "signing-keys.json"
    load_keys(path)
    return path


def kids(path):
    return [key.kid for key in list_keys(path)]


def test_a_new_key_signs_and_the_old_ones_verify(path):
    (first,) = kids(path)
    second = rotate(path)
    third = rotate(path)
    assert kids(path) == [third, second, first]
    assert [key.signs for key in list_keys(path)] == [True, False, False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    times = list_keys(path)
    assert times[0].superseded_at is None
    assert abs(times[2].superseded_at - time.time()) < 5


def test_a_superseded_key_keeps_no_private_part(path):
    """Nothing more can be signed with it, whoever reads the file."""
    rotate(path)
    signing, superseded = json.loads(path.read_text())["keys"]
    assert "d" in signing
    assert "d" not in superseded
    published = load_keys(path).public()["keys"]
    assert {frozenset(key) for key in published} == {
        frozenset({"kty", "crv", "x", "y", "kid", "use", "alg"})
    }


def test_a_key_that_signs_is_not_retired(path):
    (only,) = kids(path)
    assert not retire(path, only)
    fresh = rotate(path)
    assert not retire(path, fresh)
    assert retire(path, only)
    assert kids(path) == [fresh]
    assert not retire(path, fresh)


def test_an_unknown_key_is_not_retired(path):
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="holds no key x"):
        retire(path, "x")
    assert path.read_bytes() == before


def test_there_must_be_a_file(tmp_path):
    """One is made by the service only: a wrong path is no reason for a second."""
    for attempt in (list_keys, rotate, lambda path: retire(path, "x")):
        with pytest.raises(ConfigurationError, match="is not there"):
            attempt(tmp_path / "keys.json")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_not_rotated(path):
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="is no JWK Set"):
        rotate(path)
    assert path.read_text() == "{"


def test_of_several_at_once_none_is_lost(path):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(rotate, [path] * 8))
    assert set(kids(path)) > set(made)
    assert len(kids(path)) == 9


def test_a_link_goes_on_to_be_one(path, tmp_path):
    """As where the file lies on a volume of its own."""
    link = tmp_path / "keys.json"
    link.symlink_to(path)
    fresh = rotate(link)
    assert link.is_symlink()
    assert kids(path)[0] == fresh


# What follows the file


@pytest.fixture
def tokens(path):
    return Tokens(load_keys(path), Settings(data_dir=path.parent))


def test_the_next_token_is_signed_by_the_new_key(tokens, path):
    old, _ = pair(tokens)
    fresh = rotate(path)
    assert {header_of(token)["kid"] for token in pair(tokens)} == {fresh}
    assert tokens.check(old)


def test_another_workers_new_key_is_known_by_its_first_token(tokens, path):
    """No token is refused for coming sooner than the news."""
    elsewhere = Tokens(load_keys(path), Settings(data_dir=path.parent))
    rotate(path)
    access, refresh = pair(elsewhere)
    assert tokens.check(access)
    assert tokens.read_refresh(refresh)


def test_tokens_of_a_retired_key_are_refused(tokens, path, monkeypatch):
    """Within a second, though it was seen and found good before."""
    monkeypatch.setattr(module, "RECHECK_S", 0.1)
    old, old_refresh = pair(tokens)
    fresh = rotate(path)
    assert tokens.check(old)
    retire(path, header_of(old)["kid"])
    time.sleep(1.05)
    for check, token in ((tokens.check, old), (tokens.read_refresh, old_refresh)):
        with pytest.raises(TokenNotValidError):
            check(token)
    assert tokens.check(pair(tokens)[0])
    assert tokens.keys.kids == {fresh}


def test_a_file_that_breaks_or_goes_changes_nothing(tokens, path):
    old, _ = pair(tokens)
    content = path.read_bytes()
    for harm in (lambda: path.write_text("{"), path.unlink):
        harm()
        with structlog.testing.capture_logs() as logs:
            assert tokens.check(pair(tokens)[0])
            pair(tokens)
        assert [line["log_level"] for line in logs] == ["error"]
        assert "signing keys cannot be read" in logs[0]["event"]
    path.write_bytes(content)
    assert rotate(path) == header_of(pair(tokens)[0])["kid"]
    assert tokens.check(old)


def test_a_flood_of_unknown_keys_costs_no_reading(tokens, path, monkeypatch):
    """The file is looked at, and read only when it has changed."""
    read = []
    monkeypatch.setattr(module, "read_keys", read.append)
    for number in range(100):
        assert not tokens.keys.knows(f"kid-{number}")
    assert not read


# Under a running service


@pytest.fixture(scope="module")
def rotating(tmp_path_factory):
    with Cinelog(tmp_path_factory.mktemp("rotating") / "var", workers=2) as service:
        yield service


def keys(service, *args):
    return run(service.data_dir, "keys", *args)


def listed(service):
    done = keys(service, "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fresh_pair(service, client):
    with service.client() as anyone:
        body = {"username": client.account["username"], "password": "correct-horse-7"}
        return anyone.post("/auth/token/", json=body).json()


def on_many_connections(service, token, asks=40):
    """What several workers say about a token."""

    def ask(_):
        with service.client(token) as client:
            return client.get("/auth/me/").status_code

    with ThreadPoolExecutor(4) as pool:
        return set(pool.map(ask, range(asks)))


def published(service):
    with service.client() as anyone:
        answer = anyone.get(f"{service.url}/.well-known/jwks.json").json()
    return [key["kid"] for key in answer["keys"]]


def test_keys_are_rotated_and_retired_without_a_restart(rotating):
    """No token is refused on the way; what a retired key signed is, by every worker."""
    before = eventually(lambda: len(found := rotating.processes("api_worker")) == 2 and found)
    ann = rotating.account("ann")
    old_kid = header_of(ann.pair["access"])["kid"]
    assert [key["kid"] for key in listed(rotating)] == [old_kid]

    assert keys(rotating, "rotate").returncode == 0
    new_kid = listed(rotating)[0]["kid"]
    for _ in range(3):
        newer = fresh_pair(rotating, ann)
        assert header_of(newer["access"])["kid"] == new_kid
        assert on_many_connections(rotating, newer["access"], asks=8) == {200}
    assert on_many_connections(rotating, ann.pair["access"]) == {200}
    assert published(rotating) == [new_kid, old_kid]

    renewed = ann.post("/auth/token/refresh/", json={"refresh": ann.pair["refresh"]}).json()
    assert header_of(renewed["refresh"])["kid"] == new_kid

    assert keys(rotating, "retire", old_kid).returncode == 0
    assert published(rotating) == [new_kid]
    eventually(lambda: on_many_connections(rotating, ann.pair["access"]) == {401})
    assert on_many_connections(rotating, newer["access"]) == {200}
    problem(
        ann.post("/auth/token/refresh/", json={"refresh": ann.pair["refresh"]}),
        401,
        "token_not_valid",
    )
    assert rotating.processes("api_worker") == before


def test_the_command_says_no(rotating):
    """Exit 1 for the key that signs, 2 for one that is not there and for wrong use."""
    signing = listed(rotating)[0]["kid"]
    refused = keys(rotating, "retire", signing)
    assert (refused.returncode, refused.stderr) == (1, f"cinelog: {signing} signs; rotate first\n")
    for unknown in ("x", "-x"):
        refused = keys(rotating, "retire", unknown)
        assert refused.returncode == 2
        assert f"holds no key {unknown}" in refused.stderr
    assert keys(rotating, "retire").returncode == 2
    elsewhere = run(rotating.data_dir, "keys", "rotate", signing_keys="/nonexistent/keys.json")
    assert elsewhere.returncode == 2
    assert elsewhere.stderr.startswith("cinelog: CINELOG_SIGNING_KEYS: /nonexistent/keys.json ")


def test_the_list_shows_whole_ids(rotating):
    keys(rotating, "rotate")
    lines = keys(rotating, "list").stdout.splitlines()
    shown = [line.split() for line in lines]
    assert [words[0] for words in shown] == [key["kid"] for key in listed(rotating)]
    assert [words[1] for words in shown] == ["signs"] + ["verifies"] * (len(shown) - 1)
    assert shown[1][2:] == ["until", listed(rotating)[1]["idle_from"]]
