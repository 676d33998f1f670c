"""docker-compose.yml and the Dockerfile keep their promises; nothing is started."""

import re
import shutil
import subprocess

import pytest
import yaml
from compose_spec import PyCompose

from service.secret_files import FILES
from service.settings import PREFIX, Settings
from tests.deploy.compose_file import ROOT, containers, image_settings, path_of, read

COMPOSE = read()
SERVICES = COMPOSE["services"]
DOCKERFILE = ROOT.joinpath("Dockerfile").read_text().replace("\\\n", " ")
SECRET = re.compile("password|secret|token", re.IGNORECASE)
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_it_matches_the_compose_specification():
    """Unknown keys, durations and undefined networks, secrets and volumes are refused."""
    PyCompose.from_yaml(yaml.safe_dump(COMPOSE)).validate()
    named = {
        source for one in containers(COMPOSE, ["observability"]) for source, _, _ in one.mounts
    }
    assert {source for source in named if not source.startswith(".")} == set(COMPOSE["volumes"])


@each_service
def test_a_container_can_change_its_volumes_only(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    for mount in service.get("volumes", []):
        assert not mount.startswith(".") or mount.endswith(":ro")


@each_service
def test_a_container_is_bounded_watched_and_ends_in_order(service):
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"memory", "pids"}
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert (service["init"], service["restart"]) == (True, "unless-stopped")
    assert service["logging"]["options"]["max-size"]


@each_service
def test_an_image_has_an_exact_version(service):
    if "build" not in service:
        assert re.search(r":v?\d+\.\d+(\.\d+)?$", service["image"])


@each_service
def test_no_variable_holds_a_secret(service):
    """Secrets are files, and there are no default passwords."""
    for name, value in service.get("environment", {}).items():
        if SECRET.search(name):
            assert name.endswith("_FILE")
            assert value == f"/run/secrets/{service['secrets'][0]}" or value.startswith(
                "/run/secrets/"
            )
        assert not re.search(r"://[^/]*:[^/]*@", str(value))


@each_service
def test_only_the_loopback_address_is_published(service):
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


@each_service
def test_mounted_files_exist(service):
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        assert not source.startswith(".") or path_of(source).exists()


@each_service
def test_settings_are_known(service):
    files = [name for names in FILES.values() for name in names]
    known = {f"{PREFIX}{name.upper()}" for name in (*Settings.model_fields, *files)}
    given = {name for name in service.get("environment", {}) if name.startswith(PREFIX)}
    assert given <= known


def test_secrets_are_made_once_and_kept_out_of_git_and_of_the_image(secrets_folder):
    made = {name: (secrets_folder / name).read_text() for name in COMPOSE["secrets"]}
    assert all(len(secret.strip()) >= 32 for secret in made.values())
    assert len(set(made.values())) == len(made)
    assert secrets_folder.stat().st_mode & 0o077 == 0
    again = ["make", "-s", "-f", ROOT / "Makefile", "secrets"]
    subprocess.run(again, cwd=secrets_folder.parents[1], check=True)
    assert made == {name: (secrets_folder / name).read_text() for name in made}
    assert "deploy" not in ROOT.joinpath(".dockerignore").read_text()
    assert ROOT.joinpath("deploy/secrets/.gitignore").read_text() == "*\n!.gitignore\n"


def test_a_stage_builds_and_the_other_one_runs():
    _, build, run = DOCKERFILE.split("\nFROM ")
    image = run.split()[0]
    assert build.split()[:3] == [image, "AS", "build"]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", image)
    installs = re.findall(r"pip .*?install .*?(?=&&|\n)", build)
    hashed = [one for one in installs if "--require-hashes" in one and "--only-binary=:all:" in one]
    (ours,) = set(installs) - set(hashed)
    assert "--no-index --no-deps" in ours
    assert len(hashed) == 2
    assert "apt-get" not in DOCKERFILE
    assert " install -" not in run.replace(" install -d", "")
    assert "PIP_NO_CACHE_DIR=1" in build


def test_the_image_runs_as_an_ordinary_user_with_a_health_check():
    _, command, check = image_settings()
    assert command == ["cinelog", "serve"]
    assert check == [
        word.replace('"', "'") for word in SERVICES["api-1"]["healthcheck"]["test"][1:]
    ]
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "LABEL org.opencontainers.image.title" in DOCKERFILE


def test_the_image_gets_all_that_it_copies_and_no_more():
    allowed = [
        line.removeprefix("!")
        for line in ROOT.joinpath(".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(allowed)
    assert all(ROOT.joinpath(path).exists() for path in allowed)


# HAProxy belongs to the system, and `.ci/run` installs it; nothing else can judge its configuration.
@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
def test_haproxy_accepts_its_configuration():
    done = subprocess.run(
        ["haproxy", "-c", "-f", ROOT / "deploy/haproxy/haproxy.cfg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("[WARNING]")]
    assert all("could not resolve address 'api-" in line for line in warnings)
