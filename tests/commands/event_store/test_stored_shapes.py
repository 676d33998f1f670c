"""Every event ever stored must load for ever, in a process that never wrote it.

``stored_shapes.jsonl`` holds stored events, ``stored_keys.json`` what is stored of each event type
under each class version. Both only grow: a line or an entry that was released is never changed.
"""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import orjson
import pytest
from eventsourcing.persistence import Mapper

from commands.aggregates.event_types import CURRENT_VERSIONS, EVENT_TYPES, MOVIE_EVENTS, upcast
from commands.aggregates.movie import Movie, MovieDetails
from commands.event_store.event_codec import OrjsonTranscoder
from tests.controls import MOVIE, NOON

SAMPLES = Path(__file__).with_name("stored_shapes.jsonl")
LINES = [json.loads(line) for line in SAMPLES.read_text().splitlines()]
STORED_KEYS = json.loads(Path(__file__).with_name("stored_keys.json").read_text())
VERSIONS = [(topic, int(version)) for topic, known in STORED_KEYS.items() for version in known]
LOAD = """
import json, sys
from uuid import UUID
from eventsourcing.persistence import StoredEvent, Mapper
from commands.execution import handlers  # what the service imports, and no more
from commands.event_store.event_codec import OrjsonTranscoder
line = json.loads(sys.argv[1])
stored = StoredEvent(UUID(line["stream_id"]), line["version"], line["topic"], line["state"].encode())
event = Mapper(OrjsonTranscoder()).to_domain_event(stored)
print(json.dumps({name: getattr(event, name) for name in line["loads_as"]}, default=str))
"""
CHANGED = (
    "stored_keys.json has other keys, or none, for class_version {version} of {topic}. A change of "
    "what is stored needs a higher class_version, an upcast from the version before, the new keys "
    "in stored_keys.json and a sample in stored_shapes.jsonl."
)
VALUES = {"int": 7, "str": "x", "datetime": NOON, "UUID": MOVIE}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["topic"])
def test_a_stored_event_loads_in_a_fresh_process(line):
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(line)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == line["loads_as"]


def type_name(declared):
    return declared if isinstance(declared, str) else getattr(declared, "__name__", str(declared))


def stored_keys(kind):
    """Return the stored keys, with types, of an event that has a value in each field."""
    types = {one.name: type_name(one.type).split(" | ")[0] for one in fields(kind)}
    event = kind(**{name: VALUES[of] for name, of in types.items()})
    state = orjson.loads(Mapper(OrjsonTranscoder()).to_stored_event(event).state)
    state.pop("class_version", None)
    return {name: types[name] for name in state}


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_a_stored_shape_changes_only_with_a_new_class_version(topic):
    known = STORED_KEYS.get(topic, {}).get(str(CURRENT_VERSIONS[topic]))
    message = CHANGED.format(topic=topic, version=CURRENT_VERSIONS[topic])
    assert known == stored_keys(EVENT_TYPES[topic]), message


@pytest.mark.parametrize(("topic", "version"), VERSIONS)
def test_every_stored_version_is_upcast(topic, version):
    """The upcasts give exactly the keys that the current event class takes."""
    state = dict.fromkeys(STORED_KEYS[topic][str(version)], "x")
    upcast(topic, state, version)
    known = set(STORED_KEYS[topic][str(CURRENT_VERSIONS[topic])])
    required = {name for name in known if not hasattr(EVENT_TYPES[topic], name)}
    assert required <= set(state) <= known


def test_every_stored_version_has_a_sample():
    sampled = {(line["topic"], json.loads(line["state"]).get("class_version", 1)) for line in LINES}
    assert sampled == set(VERSIONS)
    assert {
        (topic, version)
        for topic in EVENT_TYPES
        for version in range(1, CURRENT_VERSIONS[topic] + 1)
    } == set(VERSIONS)


def test_events_carry_every_field_of_a_movie():
    for kind in (Movie.Created, Movie.Updated, Movie.Restored):
        names = {one.name for one in fields(kind)}
        assert names >= set(MovieDetails._fields), kind.TOPIC


def test_names_of_movie_events_begin_with_movie():
    """The prefix lets a release park a movie that has an event of a later release."""
    assert set(MOVIE_EVENTS) == {topic for topic in EVENT_TYPES if topic.startswith(Movie.TOPIC)}
