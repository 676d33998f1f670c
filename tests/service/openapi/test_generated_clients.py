"""Clients generated from the API description by common generators, used on the service."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.running import PASSWORD

pytestmark = pytest.mark.xdist_group("generated clients")
CLIENTS = Path(__file__).parents[2] / "clients"
PYTHON = Path(sys.prefix) / "clients" / "bin"
NODE = CLIENTS / "node_modules" / ".bin"
# `make test` installs the generators in Python; a bare `pytest` may run before it.
needs_generators = pytest.mark.skipif(
    not (PYTHON / "openapi-python-client").exists(), reason="`make test` installs the generators"
)
# Node.js belongs to the system; what it runs is installed by `make test` where npm is.
needs_node = pytest.mark.skipif(not (NODE / "tsc").exists(), reason="`make test` needs npm for it")
# Java belongs to the system; OpenAPI Generator is written in it.
needs_java = pytest.mark.skipif(not shutil.which("java"), reason="OpenAPI Generator needs Java")


def run(*command, cwd):
    """Run a generator's command; return its output."""
    path = os.pathsep.join([str(PYTHON), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"PATH": path, "REDOCLY_TELEMETRY": "off"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(service, tmp_path_factory):
    """A folder with the description, for generated clients."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "openapi.json").write_bytes(httpx.get(f"{service.url}/openapi.json").content)
    if NODE.exists():
        for name in ("package.json", "tsconfig.json"):
            shutil.copy(CLIENTS / name, folder)
        (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder


@pytest.fixture
def arguments(service, ann):
    """Arguments of each client: the service's URL, username and password."""
    return service.url, ann.account["username"], PASSWORD


def run_typescript(folder, name, arguments):
    """Type-check, compile and run a client."""
    shutil.copy(CLIENTS / f"{name}.ts", folder)
    (folder / f"tsconfig.{name}.json").write_text(
        f'{{"extends": "./tsconfig.json", "files": ["{name}.ts"]}}'
    )
    run(NODE / "tsc", "--project", f"tsconfig.{name}.json", cwd=folder)
    run("node", f"{name}.js", *arguments, cwd=folder)


@needs_generators
def test_openapi_python_client(folder, arguments):
    options = ("--path", "openapi.json", "--meta", "none", "--output-path", "generated")
    output = run(PYTHON / "openapi-python-client", "generate", *options, cwd=folder)
    assert "warning" not in output.lower()
    shutil.copy(CLIENTS / "use_openapi_python_client.py", folder)
    run(PYTHON / "python", "use_openapi_python_client.py", *arguments, cwd=folder)


def generate(folder, target, *options):
    """Run OpenAPI Generator, which checks the description first."""
    where = ("-i", "openapi.json", "-g", target, "-o", target)
    run(PYTHON / "openapi-generator-cli", "generate", *where, *options, cwd=folder)


@needs_generators
@needs_java
def test_openapi_generator_for_python(folder, arguments):
    generate(folder, "python")
    shutil.copy(CLIENTS / "use_openapi_generator.py", folder / "python")
    run(PYTHON / "python", "use_openapi_generator.py", *arguments, cwd=folder / "python")


@needs_generators
@needs_java
@needs_node
def test_openapi_generator_for_typescript(folder, arguments):
    generate(folder, "typescript-fetch", "--additional-properties=importFileExtension=.js")
    run_typescript(folder, "use_typescript_fetch", arguments)


@needs_generators
@needs_java
def test_openapi_generator_for_java(folder):
    """The client is generated only; its libraries are not available in the tests."""
    generate(folder, "java", "--library=native")
    assert (folder / "java/src/main/java/org/openapitools/client/api/MoviesApi.java").exists()


@needs_node
def test_openapi_fetch(folder, arguments):
    run(NODE / "openapi-typescript", "openapi.json", "-o", "schema.d.ts", cwd=folder)
    run_typescript(folder, "use_openapi_fetch", arguments)


@needs_node
def test_orval(folder, arguments):
    options = ("--input", "openapi.json", "--output", "orval.ts", "--client", "fetch")
    run(NODE / "orval", *options, cwd=folder)
    run_typescript(folder, "use_orval", arguments)


@needs_node
def test_linters_report_nothing(folder):
    config = f"--config={CLIENTS / 'redocly.yaml'}"
    run(NODE / "redocly", "lint", config, "openapi.json", cwd=folder)
    rules = ("--ruleset", CLIENTS / "spectral.yaml", "--fail-severity=warn")
    run(NODE / "spectral", "lint", *rules, "openapi.json", cwd=folder)
