"""The programs of docs/first-session.md, run as they stand there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAPER = Path(__file__).parents[3] / "docs" / "first-session.md"
PROGRAMS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAPER.read_text(), re.MULTILINE | re.DOTALL))
RUN = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}


def test_there_is_a_program_for_each_client():
    assert PROGRAMS.keys() == RUN.keys()


@pytest.mark.parametrize("language", RUN)
def test_a_first_session(service, language):
    """It creates, changes and undoes, and prints what happened."""
    command = RUN[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    program = PROGRAMS[language].replace("localhost:8000", f"127.0.0.1:{service.port}")
    done = subprocess.run(
        [*command, program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["MovieCreated", "MovieUpdated", "MovieUpdated"]
