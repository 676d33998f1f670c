"""Claims: what makes a value unique, or a request happen once.

1. Uniqueness is decided by the event store: a claim is an aggregate whose id is made from the
   value, saved in the same transaction as what it guards. Two at once: one of them conflicts.
2. A claim holds nothing that can be read: what is personal stands in the account's own stream.
"""

from typing import Any
from uuid import UUID, uuid5

from eventsourcing.domain import Aggregate

from commands.movie import EventMetadata, MovieDetails
from commands.text import caseless, fold_name

# Stored for ever: the ids of all claims hang on it.
CLAIMS = UUID("0d1f8a52-6f0b-5b7e-9d0a-5c1f5a1c7e11")


class Claim(Aggregate):
    """A value that has an owner. ``id`` is made from the kind and the value.

    A claim on a request answers the same request ever after: with ``owner`` as it was at
    ``version``. ``fingerprint`` tells the request from another one.
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
            """Say what was so: claims were on names and on imported rows, which are created."""
            state |= {"version": 1, "fingerprint": ""}

    def __init__(self, owner: str, version: int, fingerprint: str) -> None:
        self.owner = owner
        self.version = version
        self.fingerprint = fingerprint

    @classmethod
    def make(
        cls, claim_id: UUID, owner: Aggregate, metadata: EventMetadata, fingerprint: str = ""
    ) -> "Claim":
        """Claim ``claim_id`` for ``owner`` as it is now."""
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
    """Return the id of the claim on the ``nth`` such row that ``account`` imports.

    A field with a default counts, by its name, only where it has another value. So a new field
    leaves the ids of rows without it as they are.
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
