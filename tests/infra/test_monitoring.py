"""A real Prometheus scrapes a real serving process, and the alert for a real cause fires.

Rules and dashboard name only metrics that serving exports; the dashboard has the form that Grafana
documents. No Grafana was there to load it.
"""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from overnight.infra.stack.ports import free_port
from overnight.store.registry.actor import Actor
from tests.support.serving import bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.stopping import stop_process
from tests.support.waiting import until

FOLDER = Path(__file__).parents[2] / "infra" / "monitoring"
# The second is about a week, and looks at fewer moments.
TESTS = ("rules_test.yml", "rules_week_test.yml")
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
# Metrics that only a host with a challenger has; `tests/serving/challenger` exports them.
CHALLENGES = "overnight_challenger_"
ONE = {"instances": np.zeros((1, 28, 28), np.uint8).tolist()}


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None and os.environ.get("CI") != "true":
        pytest.skip(f"{name} is not installed; .ci/run installs Debian's prometheus")
    assert path is not None, f"{name} is not installed"
    return path


def names_in(expressions: Iterator[str]) -> set[str]:
    """The metrics of ours in some expressions."""
    return {name for text in expressions for name in re.findall(r"\bovernight_[a-z_]+\b", text)}


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (each.get("definition", "") for each in DASHBOARD["templating"]["list"])


@pytest.mark.servers
def test_the_rules_are_valid_and_each_fires_for_its_cause():
    promtool = program("promtool")

    checks = [["check", "rules", "rules.yml"], *(["test", "rules", name] for name in TESTS)]
    for arguments in checks:
        ended = subprocess.run(
            [promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    ended = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_rule_has_a_test_that_it_fires():
    tests = [
        test for name in TESTS for test in yaml.safe_load((FOLDER / name).read_text())["tests"]
    ]
    fired = {
        expected["alertname"]
        for test in tests
        for expected in test["alert_rule_test"]
        if expected["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in RULES}


def test_every_rule_says_how_bad_it_is_and_what_to_do():
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["for"]


@pytest.mark.servers
@pytest.mark.timeout(180)
def test_a_version_that_a_host_refuses_fires_an_alert(s3_bucket, s3_address, tmp_path):
    prometheus = program("prometheus")
    log = alias_log(s3_bucket, bundles.MODEL)
    bundles.publish(s3_bucket, 1)
    bundles.publish(s3_bucket, 2, bundles.files(2) | {"predictor.tflite": b"no network"})
    log.append(bundles.version_name(1), expected=None, actor=Actor("a test", "a test"))
    settings = follow_settings(s3_address, serving_workers="1")
    with run_serving(place=tmp_path / "home", **settings) as serving:
        until(serving.is_ready, what="serving is ready")
        assert serving.request("POST", "/v1/models/digits:predict", ONE)[0] == 200
        serving.request("POST", "/v1/models/nothing:predict", ONE)
        exported = serving.request("GET", "/metrics")[2]
        assert isinstance(exported, bytes)
        check_names(exported.decode())
        with running(prometheus, serving.port, tmp_path) as address:
            until(lambda: series(address, "overnight_ready"), what="a scrape")
            assert "OvernightVersionRefused" not in firing(address)

            log.append(
                bundles.version_name(2),
                expected=bundles.version_name(1),
                actor=Actor("a test", "a test"),
            )

            until(lambda: "OvernightVersionRefused" in firing(address), what="the alert")
            # And nothing is wrong that is not: the version before it still serves.
            assert firing(address) == {"OvernightVersionRefused"}


def check_names(exported: str) -> None:
    """Every metric that rules and dashboard name is a family that serving declares."""
    families = set(re.findall(r"^# TYPE (\S+) ", exported, re.MULTILINE))
    named = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in names_in(expressions())
        if not name.startswith(CHALLENGES)
    }
    assert len(named) > 8
    assert named <= families, named - families


class running:  # noqa: N801
    """Prometheus with our rules, which fire at once and are looked at every second."""

    def __init__(self, prometheus: str, target: int, place: Path) -> None:
        self.port = free_port()
        text = re.sub(r"for: \w+", "for: 0s", (FOLDER / "rules.yml").read_text())
        (place / "rules.yml").write_text(text)
        config = (FOLDER / "prometheus.yml").read_text()
        config = config.replace("15s", "1s").replace("127.0.0.1:8080", f"127.0.0.1:{target}")
        (place / "prometheus.yml").write_text(config)
        command = [prometheus, f"--config.file={place}/prometheus.yml"]
        command += [f"--storage.tsdb.path={place}/tsdb", "--log.level=error"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command)

    def __enter__(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def __exit__(self, *ended: object) -> None:
        stop_process(self.process, seconds=20)


def answer_of(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.load(response)["data"]
    except OSError:
        return None


def series(address: str, query: str) -> list[Any]:
    answer = answer_of(f"{address}/query?query={query}")
    return answer["result"] if answer else []


def firing(address: str) -> set[str]:
    answer = answer_of(f"{address}/alerts") or {"alerts": []}
    return {each["labels"]["alertname"] for each in answer["alerts"] if each["state"] == "firing"}


# What Grafana's documentation of the dashboard's JSON model, of panels and of variables demands.
REQUIRED = {
    "title": str, "uid": str, "tags": list, "timezone": str, "editable": bool, "panels": list,
    "schemaVersion": int, "time": dict, "refresh": str, "templating": dict, "annotations": dict,
}  # fmt: skip
PANEL = {"id": int, "type": str, "title": str, "gridPos": dict}
PANEL_TYPES = {"timeseries", "stat", "table", "row", "gauge", "text", "state-timeline"}
UNITS = {"reqps", "percentunit", "s", "bytes", "short", "none", "bool", "ops"}
COLUMNS = 24


def test_the_dashboard_has_the_documented_form():
    for name, kind in REQUIRED.items():
        assert isinstance(DASHBOARD[name], kind), name
    assert "id" not in DASHBOARD or DASHBOARD["id"] is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["time"].keys() == {"from", "to"}
    assert DASHBOARD["schemaVersion"] >= 36


def test_panels_are_where_they_fit_and_ask_the_chosen_source():
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        for name, kind in PANEL.items():
            assert isinstance(panel[name], kind), (panel["title"], name)
        assert panel["type"] in PANEL_TYPES
        place = panel["gridPos"]
        assert place.keys() == {"h", "w", "x", "y"}
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] not in {"row", "text"}:
            check_queries(panel)


def check_queries(panel: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == source
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    references = [target["refId"] for target in panel["targets"]]
    assert references == [chr(ord("A") + number) for number in range(len(references))]
    for target in panel["targets"]:
        assert target["datasource"] == source
        assert target["expr"]
        assert "legendFormat" in target


def test_variables_choose_the_source_the_model_and_the_host():
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}

    assert list(variables) == ["datasource", "model", "instance"]
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == (
        "datasource",
        "prometheus",
    )
    for name in ("model", "instance"):
        assert variables[name]["type"] == "query"
        assert variables[name]["multi"]
        assert variables[name]["includeAll"]


@pytest.mark.servers
def test_every_query_of_the_dashboard_is_valid():
    promtool = program("promtool")
    chosen = {"$model": ".*", "$instance": ".*", "$__rate_interval": "5m"}
    rules = []
    for number, expression in enumerate(expressions()):
        # Variables have no queries in the language of Prometheus.
        if expression.startswith("label_values") or not expression:
            continue
        pattern = "|".join(map(re.escape, chosen))
        filled = re.sub(pattern, lambda match: chosen[match[0]], expression)
        rules.append({"record": f"q{number}", "expr": filled})
    document = json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})

    ended = subprocess.run(
        [promtool, "check", "rules", "/dev/stdin"],
        input=document,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
