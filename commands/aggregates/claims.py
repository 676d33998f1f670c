"""Claims: they make a value unique, or a request idempotent.

1. The event store decides uniqueness: a claim is an aggregate whose id is a hash of the value,
   saved in the same transaction as its owner. Of two at once, one conflicts.
2. A claim contains no readable value: personal data stands in the account's own stream only.
"""

from typing import Any
from uuid import UUID, uuid5

from eventsourcing.domain import Aggregate

from commands.aggregates.movie import EventMetadata, MovieDetails
from commands.text import caseless, fold_name

# Stored for ever: the ids of all claims depend on it.
CLAIMS = UUID("0d1f8a52-6f0b-5b7e-9d0a-5c1f5a1c7e11")


class Claim(Aggregate):
    """A value that has an owner. ``id`` is a hash of the kind and the value.

    A claim on a request answers the same request for ever, with ``owner`` at ``version``;
    ``fingerprint`` identifies the request.
    """

    TOPIC = "Claim"

    # Stored for ever.
    class Event(Aggregate.Event):
        pass

    class Created(Event, Aggregate.Created):
        class_version = 2
        TOPIC = "ClaimMade"
        owner: str
        version: int
        fingerprint: str

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """v1 claims were on names and imported rows, so their owners had version 1."""
            state |= {"version": 1, "fingerprint": ""}

    def __init__(self, owner: str, version: int, fingerprint: str) -> None:
        self.owner = owner
        self.version = version
        self.fingerprint = fingerprint

    @classmethod
    def make(
        cls, claim_id: UUID, owner: Aggregate, metadata: EventMetadata, fingerprint: str = ""
    ) -> "Claim":
        """Claim ``claim_id`` for ``owner`` at its current version."""
        return cls._create(
            cls.Created,
            id=claim_id,
            owner=str(owner.id),
            version=owner.version,
            fingerprint=fingerprint,
            timestamp=metadata.timestamp,
        )


def username_claim(username: str) -> UUID:
    """Return the id of the claim on a username."""
    return uuid5(CLAIMS, f"username:{fold_name(username)}")


def email_claim(email: str) -> UUID:
    """Return the id of the claim on an e-mail address."""
    return uuid5(CLAIMS, f"email:{caseless(email)}")


def row_claim(account: str, details: MovieDetails, nth: int) -> UUID:
    """Return the id of the claim on the ``nth`` row with these ``details`` in an import.

    A field with a default is hashed, with its name, only if it has another value. So a new field
    does not change the ids of rows without it.
    """
    defaults = details._field_defaults
    values = (
        f"{name}={value}" if name in defaults else str(value)
        for name, value in details._asdict().items()
        if name not in defaults or value != defaults[name]
    )
    return uuid5(CLAIMS, "\0".join((f"row:{account}", *values, str(nth))))


def request_claim(account: str, key: str) -> UUID:
    """Return the id of the claim on an ``Idempotency-Key`` of an account."""
    return uuid5(CLAIMS, f"request:{account}\0{key}")
