"""Rotation and retirement of signing keys, in the file and in a running service."""

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
from tests.service.auth.auth_controls import header_of, token_pair


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
    listed_keys = list_keys(path)
    assert listed_keys[0].superseded_at is None
    assert abs(listed_keys[2].superseded_at - time.time()) < 5


def test_a_superseded_key_keeps_no_private_part(path):
    """A reader of the file can sign with the current key only."""
    rotate(path)
    signing, superseded = json.loads(path.read_text())["keys"]
    assert "d" in signing
    assert "d" not in superseded
    published = load_keys(path).public()["keys"]
    assert {frozenset(key) for key in published} == {
        frozenset({"kty", "crv", "x", "y", "kid", "use", "alg"})
    }


def test_the_signing_key_is_not_retired(path):
    (only,) = kids(path)
    assert not retire(path, only)
    new_kid = rotate(path)
    assert not retire(path, new_kid)
    assert retire(path, only)
    assert kids(path) == [new_kid]
    assert not retire(path, new_kid)


def test_an_unknown_key_is_not_retired(path):
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="holds no key x"):
        retire(path, "x")
    assert path.read_bytes() == before


def test_a_missing_key_file_is_not_created(tmp_path):
    """Only the service creates a key file: a wrong path must not create a second one."""
    for attempt in (list_keys, rotate, lambda path: retire(path, "x")):
        with pytest.raises(ConfigurationError, match="is not there"):
            attempt(tmp_path / "keys.json")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_not_rotated(path):
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="is no JWK Set"):
        rotate(path)
    assert path.read_text() == "{"


def test_concurrent_rotations_lose_no_key(path):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        new_kids = list(pool.map(rotate, [path] * 8))
    assert set(kids(path)) > set(new_kids)
    assert len(kids(path)) == 9


def test_rotation_keeps_a_symbolic_link(path, tmp_path):
    """The file may be on another volume."""
    link = tmp_path / "keys.json"
    link.symlink_to(path)
    new_kid = rotate(link)
    assert link.is_symlink()
    assert kids(path)[0] == new_kid


# A running process reads changes of the file


@pytest.fixture
def tokens(path):
    return Tokens(load_keys(path), Settings(data_dir=path.parent))


def test_the_next_token_is_signed_by_the_new_key(tokens, path):
    old, _ = token_pair(tokens)
    new_kid = rotate(path)
    assert {header_of(token)["kid"] for token in token_pair(tokens)} == {new_kid}
    assert tokens.check(old)


def test_an_unknown_key_id_reloads_a_changed_file(tokens, path):
    """A worker accepts a token before it has noticed the rotation."""
    elsewhere = Tokens(load_keys(path), Settings(data_dir=path.parent))
    rotate(path)
    access, refresh = token_pair(elsewhere)
    assert tokens.check(access)
    assert tokens.read_refresh(refresh)


def test_tokens_of_a_retired_key_are_refused(tokens, path, monkeypatch):
    """A cached token is refused within a second."""
    monkeypatch.setattr(module, "RECHECK_S", 0.1)
    old, old_refresh = token_pair(tokens)
    new_kid = rotate(path)
    assert tokens.check(old)
    retire(path, header_of(old)["kid"])
    time.sleep(1.05)
    for check, token in ((tokens.check, old), (tokens.read_refresh, old_refresh)):
        with pytest.raises(TokenNotValidError):
            check(token)
    assert tokens.check(token_pair(tokens)[0])
    assert tokens.keys.kids == {new_kid}


def test_a_broken_or_missing_file_keeps_the_loaded_keys(tokens, path):
    old, _ = token_pair(tokens)
    content = path.read_bytes()
    for damage in (lambda: path.write_text("{"), path.unlink):
        damage()
        with structlog.testing.capture_logs() as logs:
            assert tokens.check(token_pair(tokens)[0])
            token_pair(tokens)
        assert [line["log_level"] for line in logs] == ["error"]
        assert "signing keys cannot be read" in logs[0]["event"]
    path.write_bytes(content)
    assert rotate(path) == header_of(token_pair(tokens)[0])["kid"]
    assert tokens.check(old)


def test_unknown_key_ids_do_not_reread_an_unchanged_file(tokens, path, monkeypatch):
    """The file is read only after a change."""
    read = []
    monkeypatch.setattr(module, "read_keys", read.append)
    for number in range(100):
        assert not tokens.keys.knows(f"kid-{number}")
    assert not read


# In a running service


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
    with service.client() as anonymous:
        body = {"username": client.account["username"], "password": "correct-horse-7"}
        return anonymous.post("/auth/token/", json=body).json()


def on_many_connections(service, token, requests=40):
    """Return the status codes that the workers return for a token."""

    def status_of(_):
        with service.client(token) as client:
            return client.get("/auth/me/").status_code

    with ThreadPoolExecutor(4) as pool:
        return set(pool.map(status_of, range(requests)))


def published(service):
    with service.client() as anonymous:
        answer = anonymous.get(f"{service.url}/.well-known/jwks.json").json()
    return [key["kid"] for key in answer["keys"]]


def test_keys_are_rotated_and_retired_without_a_restart(rotating):
    """Every worker accepts tokens of the keys in the file and refuses those of a retired key."""
    before = eventually(lambda: len(found := rotating.processes("api_worker")) == 2 and found)
    ann = rotating.account("ann")
    old_kid = header_of(ann.pair["access"])["kid"]
    assert [key["kid"] for key in listed(rotating)] == [old_kid]

    assert keys(rotating, "rotate").returncode == 0
    new_kid = listed(rotating)[0]["kid"]
    for _ in range(3):
        newer = fresh_pair(rotating, ann)
        assert header_of(newer["access"])["kid"] == new_kid
        assert on_many_connections(rotating, newer["access"], requests=8) == {200}
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


def test_keys_retire_reports_errors_by_exit_code(rotating):
    """Exit 1 for the signing key, 2 for an unknown key and for wrong use."""
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


def test_keys_list_shows_complete_ids(rotating):
    keys(rotating, "rotate")
    lines = keys(rotating, "list").stdout.splitlines()
    shown = [line.split() for line in lines]
    assert [words[0] for words in shown] == [key["kid"] for key in listed(rotating)]
    assert [words[1] for words in shown] == ["signs"] + ["verifies"] * (len(shown) - 1)
    assert shown[1][2:] == ["until", listed(rotating)[1]["idle_from"]]
