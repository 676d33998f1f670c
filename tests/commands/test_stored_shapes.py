"""Every event ever stored must load for ever, in a process that never wrote it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).with_name("stored_shapes.jsonl")
LINES = [json.loads(line) for line in SAMPLES.read_text().splitlines()]
LOAD = """
import json, sys
from uuid import UUID
from eventsourcing.persistence import StoredEvent, Mapper
from commands import handlers  # what the service imports, and no more
from commands.transcoder import OrjsonTranscoder
line = json.loads(sys.argv[1])
stored = StoredEvent(UUID(line["stream_id"]), line["version"], line["topic"], line["state"].encode())
event = Mapper(OrjsonTranscoder()).to_domain_event(stored)
print(json.dumps({name: getattr(event, name) for name in line["loads_as"]}, default=str))
"""


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["topic"])
def test_a_stored_event_loads_in_a_fresh_process(line):
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(line)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == line["loads_as"]
