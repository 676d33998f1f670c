"""The running service against its own description: Schemathesis, with all its checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import PASSWORD, Cinelog

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("schemathesis")
# The stream never ends; the description is what a run begins with.
NOT_ASKED = {"streamEvents", "readDescription"}
LEAST_ANSWERS = 2_000
SEQUENCES_S = 20


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """A file of the answers: a line each, operation and status."""
    return tmp_path_factory.mktemp("schemathesis") / "answers"


@pytest.fixture(scope="module")
def described(answers):
    """A fresh service."""
    with Cinelog(answers.with_name("var"), write_wait_ms=5000) as service:
        service.ann = service.account("ann")  # as in the examples of the description
        service.account("guest")
        yield service
    assert "Traceback" not in service.output()


def run(service, answers, *options):
    """Run Schemathesis: no error, no answer that is not described, nothing against its schema."""
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


def test_the_service_is_as_described(described, answers):
    """Each operation for itself, then sequences of them; each succeeds at least once."""
    # Always the same, so that it fails for a change and not for a draw.
    run(described, answers, "--phases=examples,coverage,fuzzing", "--generation-deterministic")
    # What one answers, another takes; as many as there is time for.
    run(described, answers, "--phases=stateful", f"--max-time={SEQUENCES_S}", "--seed=1")
    answered = [line.split() for line in answers.read_text().splitlines()]
    operations = {
        operation["operationId"]
        for path in described.ann.get(f"{described.url}/openapi.json").json()["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    }
    succeeded = {name for name, status in answered if status.startswith("2")}
    assert operations - succeeded == NOT_ASKED
    assert len(answered) >= LEAST_ANSWERS
