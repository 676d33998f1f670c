"""No file of the data directory contains a token or enough to rebuild one."""

import base64
import json
import re

import pytest

from commands.errors import TokenNotValidError
from service.auth.sessions import seal, unseal
from tests.controls import ALIEN
from tests.running import PASSWORD, Cinelog, problem


def test_a_sealed_answer_opens_only_with_its_own_token():
    sealed = seal(b'{"refresh": "next"}', "token")
    assert b"next" not in sealed
    assert unseal(sealed, "token") == b'{"refresh": "next"}'
    with pytest.raises(TokenNotValidError):
        unseal(sealed, "other")
    with pytest.raises(TokenNotValidError):
        unseal(sealed[:-4] + b"AAAA", "token")


@pytest.mark.parametrize("junk", [b"", b"x", b"....", b'{"refresh": "next"}', b"\xff\xfe"])
def test_invalid_sealed_answers_are_refused(junk):
    with pytest.raises(TokenNotValidError):
        unseal(junk, "token")


def test_no_file_contains_a_token(tmp_path):
    """No encoding of a signature is stored, and no stored text is a valid token."""
    with Cinelog(tmp_path / "var") as service:
        ann = service.account("ann")
        ann.post("/movies/", json=ALIEN)
        tokens = [ann.pair["access"], ann.pair["refresh"]]
        for _ in range(3):
            answer = ann.post("/auth/token/refresh/", json={"refresh": tokens[-1]})
            repeated = ann.post("/auth/token/refresh/", json={"refresh": tokens[-1]})
            assert repeated.json() == answer.json()
            tokens += [answer.json()["access"], answer.json()["refresh"]]
        files = {
            path: path.read_bytes() for path in (tmp_path / "var").rglob("*") if path.is_file()
        }
        assert any("redis.aof" in str(path) and content for path, content in files.items())
        for token in tokens:
            signature = token.rpartition(".")[2]
            for secret in (signature, base64.b64encode(signature.encode()).decode()[:80]):
                holding = [path for path, content in files.items() if secret.encode() in content]
                assert holding == []
        found = {
            match.decode()
            for content in files.values()
            for match in re.findall(rb"[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}", content)
        }
        for text in found:
            refused = ann.post("/auth/token/refresh/", json={"refresh": text})
            problem(refused, 401, "token_not_valid")
        everything = b"".join(files.values())
        assert PASSWORD.encode() not in everything
        assert json.dumps(PASSWORD).encode() not in everything
