"""Run Schemathesis with all its checks against a running service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import PASSWORD, Cinelog
from tests.running import run as cli

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("schemathesis")
# The stream never ends; each run loads the description itself.
EXCLUDED = {"streamEvents", "readDescription"}
MIN_ANSWERS = 2_000
SEQUENCES_S = 20


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """A file with a line per answer: operation and status."""
    return tmp_path_factory.mktemp("schemathesis") / "answers"


@pytest.fixture(scope="module")
def described_service(answers):
    """A fresh service."""
    with Cinelog(answers.with_name("var"), write_wait_ms=5000) as service:
        service.ann = service.account("ann")  # as in the examples of the description
        service.account("guest")
        service.account("target")
        service.account("closing")
        assert cli(service.data_dir, "operator", "add", "ann").returncode == 0
        yield service
    assert "Traceback" not in service.output()


def run(service, answers, *options):
    """Run Schemathesis: no server error, no undescribed answer, no schema violation."""
    environment = {
        "CINELOG_ANSWERS": str(answers),
        "CINELOG_HOOKS": str(HERE / "schemathesis_hooks.py"),
        "CINELOG_PASSWORD": PASSWORD,
        "CINELOG_TOKEN": service.ann.pair["access"],
    }
    config = f"--config-file={HERE / 'schemathesis.toml'}"
    done = subprocess.run(
        [COMMAND, config, "run", f"{service.url}/openapi.json", "--no-color", *options],
        env=os.environ | environment,
        cwd=answers.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_service_matches_its_description(described_service, answers):
    """Operations pass alone and in sequences; each succeeds at least once."""
    # Deterministic: only a change can make it fail.
    run(
        described_service,
        answers,
        "--phases=examples,coverage,fuzzing",
        "--generation-deterministic",
    )
    # Sequences pass results on to other operations, within a time limit.
    run(described_service, answers, "--phases=stateful", f"--max-time={SEQUENCES_S}", "--seed=1")
    answered = [line.split() for line in answers.read_text().splitlines()]
    operations = {
        operation["operationId"]
        for path in described_service.ann.get(f"{described_service.url}/openapi.json")
        .json()["paths"]
        .values()
        for method, operation in path.items()
        if method != "parameters"
    }
    succeeded = {name for name, status in answered if status.startswith("2")}
    assert operations - succeeded == EXCLUDED
    assert len(answered) >= MIN_ANSWERS
