"""How the fields of an event are stored: one flat JSON object, times as RFC 3339 text."""

from datetime import datetime
from typing import Any

import orjson
from eventsourcing.persistence import Transcoder

from commands.rfc3339 import is_timestamp, rfc3339


class OrjsonTranscoder(Transcoder):
    """The library's default writes the same facts at a fifth of the speed.

    A field that is None is not stored: the event class has the default.
    """

    def encode(self, obj: Any) -> bytes:
        """Return the stored bytes of an event's fields."""
        stored = {name: value for name, value in obj.items() if value is not None}
        stored["timestamp"] = rfc3339(stored["timestamp"])
        return orjson.dumps(stored)

    def decode(self, data: bytes) -> Any:
        """Return an event's fields."""
        stored = orjson.loads(data)
        if not is_timestamp(stored["timestamp"]):
            raise ValueError("its time is not as it is stored")
        stored["timestamp"] = datetime.fromisoformat(stored["timestamp"])
        return stored
