"""docker-compose.yml as Docker Compose reads it: variables filled in, services in their order."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?[-?])([^}]*))?\})")
_DEFAULT_USER = "root"


@dataclass(frozen=True)
class Service:
    """One container of a service."""

    name: str
    number: int
    image: str
    user: str
    entrypoint: list
    command: list
    environment: dict
    mounts: list
    """(source, target, is read-only); the source is a path or the name of a volume."""
    tmpfs: list
    secrets: dict
    healthcheck: list
    published: dict
    """Port of the container by the address published."""
    needs: list
    read_only: bool
    no_new_privileges: bool
    no_capabilities: bool

    @property
    def container(self):
        return f"{self.name}.{self.number}"


def read(path=ROOT / "docker-compose.yml", **variables):
    """Return the file's content, with ``variables`` as the environment of Docker Compose."""
    return _filled_in(yaml.safe_load(path.read_text()), variables)


def containers(content, profiles=()):
    """Return the containers of the services with these profiles, each after those it needs."""
    chosen = {
        name: service
        for name, service in content["services"].items()
        if not service.get("profiles") or set(service["profiles"]) & set(profiles)
    }
    ordered = []
    while len(ordered) < len(chosen):
        ready = [n for n in chosen if n not in ordered and set(_needs(chosen[n])) <= set(ordered)]
        assert ready, "services need each other in a circle"
        ordered += ready
    return [
        one
        for name in ordered
        for number in range(1, 1 + chosen[name].get("deploy", {}).get("replicas", 1))
        for one in [_container(content, name, number)]
    ]


def image_settings(path=ROOT / "Dockerfile"):
    """Return the environment, the command and the health check of the image of the Dockerfile."""
    text = path.read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    environment, found = {}, {}
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "ENV":
            environment |= dict(one.split("=", 1) for one in rest.split())
        elif word == "HEALTHCHECK":
            found[word] = yaml.safe_load(rest[rest.index("[") :])
        elif word == "CMD":
            found[word] = yaml.safe_load(rest)
    return environment, found["CMD"], found["HEALTHCHECK"]


def _container(content, name, number):
    given = content["services"][name]
    return Service(
        name=name,
        number=number,
        image=given["image"].partition(":")[0],
        user=given.get("user", _DEFAULT_USER),
        entrypoint=given.get("entrypoint", []),
        command=given.get("command", []),
        environment={k: str(v) for k, v in given.get("environment", {}).items()},
        mounts=[_mount(one) for one in given.get("volumes", [])],
        tmpfs=given.get("tmpfs", []),
        secrets={one: content["secrets"][one]["file"] for one in given.get("secrets", [])},
        healthcheck=_command(given["healthcheck"]["test"]),
        published={k: int(v) for k, _, v in (p.rpartition(":") for p in given.get("ports", []))},
        needs=_needs(given),
        read_only=given.get("read_only", False),
        no_new_privileges="no-new-privileges:true" in given.get("security_opt", []),
        no_capabilities=given.get("cap_drop") == ["ALL"],
    )


def _needs(given):
    return [
        name
        for name, how in given.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    ]


def _mount(text):
    source, target, *mode = text.split(":")
    return source, target, mode == ["ro"]


def _command(test):
    return test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]


def _filled_in(value, variables):
    if isinstance(value, dict):
        return {key: _filled_in(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled_in(one, variables) for one in value]
    if not isinstance(value, str):
        return value

    def replace(match):
        dollar, name, operator, word = match.groups()
        if dollar:
            return "$"
        found = variables.get(name, "")
        if found or operator is None:
            return found
        assert operator.endswith("-"), f"{name}: {word}"
        return word

    return _VARIABLE.sub(replace, value)


def path_of(source):
    """Return the path of a bind mount or secret, which is relative to the compose file."""
    return Path(os.path.normpath(ROOT / source))
