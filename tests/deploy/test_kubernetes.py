"""The manifests of deploy/kubernetes match the published schemas, and fit each other."""

import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from service.settings import Settings, unknown_variables
from tests.deploy.compose_file import ROOT
from tests.deploy.kustomize import build, containers_of

FOLDER = ROOT / "deploy" / "kubernetes"
BASE = build(FOLDER / "base")
ALL = build(FOLDER / "example")
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
DEPLOYMENTS = [one for one in BASE if one["kind"] == "Deployment"]
each_deployment = pytest.mark.parametrize(
    "deployment", DEPLOYMENTS, ids=[one["metadata"]["name"] for one in DEPLOYMENTS]
)


def one_of(kind, name="cinelog", *, among=ALL):
    (found,) = [one for one in among if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pods(among=ALL):
    return [one["spec"]["template"] for one in among if one["kind"] == "Deployment"]


def selects(selector, labels):
    return selector.items() <= labels.items()


@pytest.fixture(scope="module")
def with_backup(tmp_path_factory):
    """The example with the comment taken away."""
    folder = shutil.copytree(FOLDER, tmp_path_factory.mktemp("kubernetes") / "deploy")
    file = folder / "example" / "kustomization.yaml"
    file.write_text(file.read_text().replace("  # - ../backup", "  - ../backup"))
    return build(file.parent)


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_backup_matches_the_schema_of_kubernetes(with_backup, version):
    for one in with_backup:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


def test_backup_is_off_until_its_component_is_used(with_backup, monkeypatch):
    """Then the projections alone get the credentials, and reach the storage."""
    assert not any("BACKUP" in name for name in one_of("ConfigMap")["data"])
    for name, value in one_of("ConfigMap", among=with_backup)["data"].items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert unknown_variables() == []
    assert (settings.backup_url, settings.backup_every, settings.backup_keep) == (
        "s3://movies.example.org/backups",
        "1 hour",
        "30 days",
    )
    policy = one_of("NetworkPolicy", "cinelog-backup", among=with_backup)
    for pod in pods(with_backup):
        labels = pod["metadata"]["labels"]
        chosen = labels["app.kubernetes.io/component"] == "projection"
        assert selects(policy["spec"]["podSelector"]["matchLabels"], labels) == chosen
        (container,) = pod["spec"]["containers"]
        assert ({"secretRef": {"name": "cinelog-backup"}} in container["envFrom"]) == chosen
    unchanged = [one for one in with_backup if one in ALL]
    assert len(unchanged) == len(with_backup) - 3 == len(ALL) - 2


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_it_matches_the_schema_of_kubernetes(one, version):
    if one["kind"] not in CUSTOM:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schema_refuses_a_misspelled_field():
    wrong = {**one_of("Service"), "spec": {"selektor": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@each_deployment
def test_a_pod_is_restricted(deployment):
    """As the Pod Security Standard `restricted` asks."""
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:" in ROOT.joinpath("Dockerfile").read_text()
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]


@each_deployment
def test_a_pod_has_a_readiness_probe_and_time_to_end(deployment):
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "readinessProbe" in container
    assert pod["terminationGracePeriodSeconds"] >= 10
    assert deployment["spec"]["replicas"] == 2


def test_probes_and_the_service_reach_the_port_of_the_api():
    (container,) = containers_of(one_of("Deployment", "cinelog-api"))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": Settings.model_fields["port"].default}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"
    assert container["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_selectors_find_their_pods():
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in pods()}
    found = []
    for one in ALL:
        spec = one.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if one["kind"] in ("Deployment", "PodDisruptionBudget", "NetworkPolicy"):
            selector = selector["matchLabels"]
        elif one["kind"] != "Service":
            continue
        matched = {
            name for name, pod in labels.items() if selects(selector, pod["metadata"]["labels"])
        }
        found.append((one["kind"], one["metadata"]["name"], matched))
    both = {"api", "projection"}
    assert sorted(found, key=str) == sorted(
        [
            ("Deployment", "cinelog-api", {"api"}),
            ("Deployment", "cinelog-projection", {"projection"}),
            ("PodDisruptionBudget", "cinelog-api", {"api"}),
            ("PodDisruptionBudget", "cinelog-projection", {"projection"}),
            ("Service", "cinelog", {"api"}),
            ("NetworkPolicy", "cinelog", both),
            ("NetworkPolicy", "cinelog-api", {"api"}),
        ],
        key=str,
    )


def test_a_budget_leaves_a_pod_to_drain():
    for one in ALL:
        if one["kind"] == "PodDisruptionBudget":
            deployment = one_of("Deployment", one["metadata"]["name"])
            assert one["spec"]["minAvailable"] < deployment["spec"]["replicas"]


def test_the_settings_load(tmp_path, monkeypatch):
    """With the secret's files in place, and with no variable that is not a setting."""
    for name, value in one_of("ConfigMap")["data"].items():
        file = tmp_path / name
        file.write_text(f"{'postgresql' if 'EVENT' in name else 'redis'}://user:pw@host/0\n")
        monkeypatch.setenv(name, str(file) if name.endswith("_URL_FILE") else value)
    settings = Settings.load()
    assert unknown_variables() == []
    assert (settings.projection, settings.public_url) == (False, "https://movies.example.org")
    assert settings.event_store_url.startswith("postgresql://")
    assert str(settings.data_dir).startswith("/data/")


def test_secrets_are_mounted_where_the_settings_look():
    data = one_of("ConfigMap")["data"]
    paths = [data[name] for name in data if name.endswith(("_FILE", "_KEYS"))]
    for pod in pods():
        (container,) = pod["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert {volume["name"] for volume in pod["spec"]["volumes"]} == mounts.keys()
        assert {path.rpartition("/")[0] for path in paths} == {mounts["secrets"]}
    assert not any(re.search(r"://[^/]*:[^/]*@", value) for value in data.values())


def test_the_ingress_leaves_probes_and_metrics_inside():
    (rule,) = one_of("Ingress")["spec"]["rules"]
    paths = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}
    assert paths.pop("/") == "Exact"
    assert not any("/metrics".startswith(path) or "/readyz".startswith(path) for path in paths)
    proxy = ROOT.joinpath("deploy/haproxy/haproxy.cfg").read_text()
    assert all(f" {path}" in proxy for path in paths)


def test_prometheus_finds_the_service():
    monitor = one_of("ServiceMonitor")["spec"]
    service = one_of("Service")
    assert selects(monitor["selector"]["matchLabels"], service["metadata"]["labels"])
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "cinelog"


def test_the_alerts_are_those_of_the_rules(tmp_path):
    groups = yaml.safe_load((ROOT / "deploy/observability/alerts.yml").read_text())["groups"]
    spec = one_of("PrometheusRule")["spec"]
    assert spec["groups"] == [group for group in groups if group["name"] == "cinelog"]
    if shutil.which("promtool"):
        file = tmp_path / "rules.yml"
        file.write_text(yaml.safe_dump(spec))
        subprocess.run(["promtool", "check", "rules", file], check=True, capture_output=True)


def test_images_have_a_version():
    for pod in pods():
        (container,) = pod["spec"]["containers"]
        assert re.fullmatch(r"images\.example\.org/cinelog:\d+\.\d+\.\d+", container["image"])
