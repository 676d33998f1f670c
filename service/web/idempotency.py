"""Idempotency keys: a repeated request is carried out once and answered again.

The claim on a key is saved in the transaction of the events that the request causes
(``commands/execution/handlers.py``), so a crash, another node or a lost Redis cannot carry it out
twice. The claim's id is a hash of account and key, its fingerprint a hash of method, path and body;
neither key nor body is stored. Follows draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson

from commands.aggregates.claims import request_claim
from commands.errors import InvalidError
from commands.messages import IdempotencyToken
from service.errors import KeyInFlightError
from service.web.request import CinelogRequest

HEADER = "Idempotency-Key"
MAX_KEY = 255


def idempotency_token(request: CinelogRequest, body: Mapping[str, Any]) -> IdempotencyToken | None:
    """Return the token of a request, None without a key.

    Raises InvalidError for a key that is empty, longer than 255 characters, not printable ASCII, or
    sent twice.
    """
    key = request.header(HEADER)
    if key is None:
        return None
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidError({HEADER: [f"Enter 1 to {MAX_KEY} printable ASCII characters."]})
    content = orjson.dumps(
        [request.method, request.path.rstrip("/"), body], option=orjson.OPT_SORT_KEYS
    )
    return IdempotencyToken(
        claim=request_claim(str(request.principal.account_id), key),
        fingerprint=hashlib.sha256(content).hexdigest(),
    )


class InFlight:
    """The claims whose first request this process is carrying out."""

    def __init__(self) -> None:
        self._claims: set[UUID] = set()

    @contextmanager
    def hold(self, claim: UUID) -> Iterator[None]:
        """Hold a claim. Raises KeyInFlightError while another request holds it."""
        if claim in self._claims:
            raise KeyInFlightError
        self._claims.add(claim)
        try:
            yield
        finally:
            self._claims.discard(claim)
