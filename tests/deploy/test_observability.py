"""Alert rules and the dashboard: they ask for metrics that there are, and the rules fire."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.running import eventually

pytestmark = pytest.mark.xdist_group("deploy")  # modules that share the services
FOLDER = ROOT / "deploy" / "observability"
RULES = yaml.safe_load(FOLDER.joinpath("alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads(FOLDER.joinpath("grafana/dashboards/cinelog.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
METRIC = re.compile(r"\b((?:cinelog|haproxy)_\w+)(?![\w\"=])")
# promtool belongs to the system, and `.ci/run` installs it; nothing else can judge rules and queries.
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="prometheus is not installed"
)


def promtool(*args):
    return subprocess.run(
        ["promtool", *args], cwd=FOLDER, capture_output=True, text=True, check=False
    )


@needs_promtool
def test_prometheus_accepts_its_configuration_and_the_rules():
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then():
    done = promtool("test", "rules", "alerts.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = {}
    for test in yaml.safe_load(FOLDER.joinpath("alerts.test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            cases.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert cases == {rule["alert"]: {True, False} for rule in ALERTS}


@needs_promtool
def test_each_question_of_the_dashboard_is_one_that_prometheus_understands(tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for number, target in enumerate(TARGETS)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stderr


def test_each_alert_says_how_bad_it_is_and_what_it_means():
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


def test_metrics_of_alerts_and_dashboard_exist(stack):
    """Those of the API in /metrics of a node, HAProxy's in its own."""
    code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"

    def scraped():
        text = "".join(
            stack.run_in("api-2.1", "python", "-c", code, url).stdout
            for url in ("http://127.0.0.1:8000/metrics", "http://haproxy:8405/metrics")
        )
        return text if "cinelog_backup_age_seconds" in text else None  # after the first backup

    text = eventually(scraped, timeout_s=30, pause_s=0.5)
    there = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    there |= set(re.findall(r"^(\w+)(?:\{| )", text, re.MULTILINE))
    asked = {name for rule in ALERTS for name in METRIC.findall(rule["expr"])}
    asked |= {name for target in TARGETS for name in METRIC.findall(target["expr"])}
    assert len(asked) > 20
    assert asked <= there


def test_panels_do_not_overlap():
    places = set()
    for panel in DASHBOARD["panels"]:
        box = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(box["x"], box["x"] + box["w"])
            for y in range(box["y"], box["y"] + box["h"])
        }
        assert not cells & places
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_grafana_finds_its_source_and_the_dashboard():
    (source,) = yaml.safe_load(FOLDER.joinpath("grafana/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert {target["datasource"]["uid"] for target in TARGETS} == {source["uid"]}
