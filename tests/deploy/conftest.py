"""The services of docker-compose.yml, running."""

import subprocess
from contextlib import contextmanager

import pytest

from tests.deploy.compose_file import ROOT, containers, read
from tests.deploy.engine import Engine, missing


@pytest.fixture(scope="session")
def secrets_folder(tmp_path_factory):
    """Secrets as ``make secrets`` makes them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "deploy" / "secrets").mkdir(parents=True)
    subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "secrets"], cwd=folder, check=True)
    return folder / "deploy" / "secrets"


@pytest.fixture(scope="session")
def stack(tmp_path_factory, secrets_folder):
    """All services without a profile, healthy; one worker a node, since the tests share the cores."""
    with running(tmp_path_factory.mktemp("stack"), secrets_folder) as engine:
        yield engine


@contextmanager
def running(folder, secrets_folder, *, profiles=(), without=()):
    """Run the services of docker-compose.yml with these profiles."""
    if reason := missing():
        pytest.skip(reason)
    found = [
        one for one in containers(read(CINELOG_WORKERS="1"), profiles) if one.name not in without
    ]
    with Engine(folder, found, secrets_folder) as engine:
        engine.up()
        yield engine
