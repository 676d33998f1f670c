"""Requests in flight: the idempotency keys that this process is at work on."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from commands.errors import KeyInFlightError


class InFlight:
    """The keys whose first request this process is carrying out."""

    def __init__(self) -> None:
        self._claims: set[UUID] = set()

    @contextmanager
    def hold(self, claim: UUID) -> Iterator[None]:
        """Hold a claim. Raises KeyInFlightError where another request holds it."""
        if claim in self._claims:
            raise KeyInFlightError
        self._claims.add(claim)
        try:
            yield
        finally:
            self._claims.discard(claim)
