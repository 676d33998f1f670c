"""``Idempotency-Key``: the same request twice is carried out once and answered twice.

The claim on a key is saved in the transaction of what the request caused
(``commands/handlers.py``), so that neither a crash, another node nor a lost Redis makes two of one.
The key and the account are hashed into the claim's id, the method, path and body into its
fingerprint; neither is kept. Follows draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from commands.claims import request_claim
from commands.errors import InvalidError
from commands.messages import IdempotencyToken
from service.auth.tokens import Principal
from service.web.request import CinelogRequest

HEADER = "Idempotency-Key"
MAX_KEY = 255


def idempotency_token(
    request: CinelogRequest, principal: Principal, body: Mapping[str, Any]
) -> IdempotencyToken | None:
    """Return what makes this request happen once, None where it has no key.

    Raises InvalidError for a key that is empty, longer than 255 characters, not printable ASCII, or
    sent twice.
    """
    key = request.header(HEADER)
    if key is None:
        return None
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidError({HEADER: [f"Enter 1 to {MAX_KEY} printable ASCII characters."]})
    said = orjson.dumps(
        [request.method, request.path.rstrip("/"), body], option=orjson.OPT_SORT_KEYS
    )
    return IdempotencyToken(
        claim=request_claim(str(principal.account_id), key),
        fingerprint=hashlib.sha256(said).hexdigest(),
    )
