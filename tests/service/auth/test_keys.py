"""Signing keys: created once, kept private, never replaced silently."""

import json
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from commands.errors import ConfigurationError
from service.auth.key_file import make_file
from service.auth.key_rotation import list_keys, retire, rotate
from service.auth.signing_keys import load_keys
from service.auth.tokens import Tokens
from service.settings import Settings
from tests.service.auth.auth_controls import token_pair


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "keys.json"


def write(path, *entries):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"keys": entries}))


def ec(**overrides):
    return ECKey.generate_key("P-256", auto_kid=True).as_dict(private=True) | overrides


def test_the_first_start_creates_a_private_key_file(path):
    """Only its owner may read it, and no temporary file remains."""
    keys = load_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert load_keys(path).kids == keys.kids


def test_the_key_id_is_the_thumbprint(path):
    """RFC 7638: the same key has the same id in every file."""
    (key,) = load_keys(path).signing_key().keys
    assert key.kid == key.thumbprint()
    assert key.as_dict(private=False).keys() >= {"kty", "crv", "x", "y", "use", "alg", "kid"}


def test_published_keys_have_no_private_part(path):
    load_keys(path)
    write(path, ec(), ec())
    shown = load_keys(path).public()["keys"]
    assert [entry.keys() for entry in shown] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}] * 2


def test_the_first_key_signs_and_all_verify(path):
    first, second = ec(), ec()
    retired = ECKey.import_key(second).as_dict(private=False)
    write(path, first, retired)
    keys = load_keys(path)
    assert [key.kid for key in keys.signing_key().keys] == [first["kid"]]
    assert keys.kids == {first["kid"], second["kid"]}


def test_concurrent_starts_create_one_key(path):
    with ProcessPoolExecutor(6, mp_context=get_context("spawn")) as pool:
        found = set(pool.map(kids_in, [path] * 12))
    assert found == {load_keys(path).kids}


def test_a_key_file_is_never_overwritten(path):
    """A process that loses the race keeps the file of the first one."""
    load_keys(path)
    first = path.read_bytes()
    make_file(path)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def kids_in(path):
    return load_keys(path).kids


def test_every_valid_form_of_key_is_accepted(path):
    """Private and public keys, with ``key_ops`` as browsers export them, or without a kid."""
    named, other = ec(key_ops=["sign"], kid="a key"), ec(made_at=10**30)
    public = ECKey.import_key(ec()).as_dict(private=False) | {"key_ops": ["verify"], "ext": True}
    without_kid = {name: public[name] for name in ("kty", "crv", "x", "y")}
    write(path, named, other, ECKey.import_key(ec()).as_dict(private=False), without_kid)
    tokens = Tokens(load_keys(path), Settings(data_dir=path.parent))
    listed = list_keys(path)
    assert [key.signs for key in listed] == [True, False, False, False]
    assert listed[1].made_at is None
    assert tokens.check(token_pair(tokens)[0])
    assert [key["kid"] for key in tokens.keys.public()["keys"]] == [key.kid for key in listed]
    new_kid = rotate(path)
    assert tokens.check(token_pair(tokens)[0])
    assert [key.kid for key in list_keys(path)] == [new_kid, *(key.kid for key in listed)]
    assert "d" not in json.loads(path.read_text())["keys"][2]
    assert all(retire(path, key.kid) for key in listed)
    assert tokens.check(token_pair(tokens)[0])


BROKEN = {
    "not JSON": "{",
    "not an object": "[]",
    "no keys": '{"keys": []}',
    "a number": '{"keys": 5}',
    "strings": '{"keys": ["secret"]}',
    "deeply nested": "[" * 100_000,
    "binary": "\0\ufffd",
    "symmetric": json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]}),
    "RSA": json.dumps({"keys": [RSAKey.generate_key(2048).as_dict(private=True)]}),
    "another curve": json.dumps({"keys": [ECKey.generate_key("P-384").as_dict(private=True)]}),
    "for encryption": json.dumps({"keys": [ec(use="enc")]}),
    "another algorithm": json.dumps({"keys": [ec(alg="ES384")]}),
    "public only": json.dumps({"keys": [ECKey.import_key(ec()).as_dict(private=False)]}),
    "public first": json.dumps({"keys": [ECKey.import_key(ec()).as_dict(private=False), ec()]}),
    "RSA second": json.dumps({"keys": [ec(), RSAKey.generate_key(2048).as_dict(private=False)]}),
    "unknown type second": json.dumps({"keys": [ec(), {"kty": "AKP", "kid": "a"}]}),
    "null": json.dumps({"keys": [None]}),
    "operations without signing": json.dumps({"keys": [ec(key_ops=["verify"])]}),
    "numeric operations": json.dumps({"keys": [ec(key_ops=7)]}),
    "empty kid": json.dumps({"keys": [ec(kid="")]}),
    "long kid": json.dumps({"keys": [ec(kid="a" * 129)]}),
    "unprintable kid": json.dumps({"keys": [ec(kid="a\nb")]}),
    "numeric kid": json.dumps({"keys": [ec(kid=7)]}),
    "duplicate kid": json.dumps({"keys": [ec(kid="a"), ec(kid="a")]}),
    "point off the curve": json.dumps({"keys": [ec(x="AAAA")]}),
    "private part of another key": json.dumps({"keys": [ec() | {"d": ec()["d"]}]}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_key_file_stops_the_start(path, content):
    """The error is one line with the variable and the remedy, without any key."""
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigurationError) as refused:
        load_keys(path)
    message = str(refused.value)
    assert message.startswith(f"CINELOG_SIGNING_KEYS: {path} ")
    assert "\n" not in message
    assert "restore it" in message
    assert "secret" not in message
    assert path.read_text() == content


def test_an_unreadable_key_file_stops_the_start(path):
    path.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="check path and rights"):
        load_keys(path)


def test_an_impossible_path_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="check path and rights"):
        load_keys(tmp_path / "file" / "keys.json")
