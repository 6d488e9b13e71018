"""The manifests for Kubernetes, as kustomize makes them: valid, unprivileged, probed, bounded."""

from collections.abc import Iterator
from functools import cache

import pytest
import yaml

from overnight.infra import identities
from overnight.serving.telemetry.metrics import WorkerCounters, render_workers
from tests.support.checkers import INFRA, check

OVERLAYS = ("aws", "embedded", "gpu")
WORKLOADS = {"Deployment", "StatefulSet"}
# It listens nowhere: Kubernetes restarts it when it ends, and sees nothing else of it.
UNPROBED = {"prefect-background"}


@cache
def rendered(overlay: str) -> str:
    code, printed = check("kubectl", "kustomize", INFRA / "kubernetes" / "overlays" / overlay)
    assert code == 0, printed
    return printed


def documents(overlay: str) -> list[dict]:
    return list(yaml.safe_load_all(rendered(overlay)))


def pods(overlay: str) -> Iterator[tuple[str, dict]]:
    for each in documents(overlay):
        if each["kind"] in WORKLOADS:
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def containers(overlay: str) -> Iterator[tuple[str, dict]]:
    for name, pod in pods(overlay):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield f"{name}/{container['name']}", container


@pytest.mark.servers
def test_kubernetes_validate_passes_all_overlays_and_finds_planted_faults(tmp_path):
    files = [tmp_path / f"{overlay}.yaml" for overlay in OVERLAYS]
    for file, overlay in zip(files, OVERLAYS, strict=True):
        file.write_text(rendered(overlay))
    misspelt, mistyped = tmp_path / "misspelt.yaml", tmp_path / "mistyped.yaml"
    misspelt.write_text(rendered("aws").replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    mistyped.write_text(rendered("aws").replace("minReplicas: 2", "minReplicas: two"))

    code, printed = check("kubernetes-validate", "--strict", *files)
    assert code == 0, printed
    for planted, found in ((misspelt, "readOnlyRootFileSystem"), (mistyped, "two")):
        code, printed = check("kubernetes-validate", "--strict", planted)
        assert code != 0
        assert found in printed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_unprivileged_read_only_and_bounded(overlay):
    for name, pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 65532, name
        assert pod["automountServiceAccountToken"] is False, name
    for name, container in containers(overlay):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_has_a_version(overlay):
    for name, container in containers(overlay):
        version = container["image"].rpartition("/")[2].partition(":")[2]
        assert version, name
        assert version != "latest", name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_probed(overlay):
    for name, pod in pods(overlay):
        if name not in UNPROBED:
            assert any("livenessProbe" in each for each in pod["containers"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_port_of_a_service_leads_to_a_container(overlay):
    ports = {
        name: {
            key
            for container in pod["containers"]
            for port in container.get("ports", ())
            for key in (port["name"], port["containerPort"])
        }
        for name, pod in pods(overlay)
    }
    for service in (each for each in documents(overlay) if each["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            selected = ports[service["spec"]["selector"]["app"]]
            assert port.get("targetPort", port["port"]) in selected, service["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_network_policies_select_pods_that_exist(overlay):
    names = {name for name, _ in pods(overlay)}
    for policy in (each for each in documents(overlay) if each["kind"] == "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        selected = {*selector.get("matchLabels", {}).values()}
        for expression in selector.get("matchExpressions", ()):
            selected |= set(expression["values"])
        assert selected <= names, policy["metadata"]["name"]
    default = next(
        each
        for each in documents(overlay)
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "nothing"
    )
    assert default["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_serving_scales_by_a_metric_that_it_exports():
    scaler = next(each for each in documents("aws") if each["kind"] == "HorizontalPodAutoscaler")
    exported = "\n".join(render_workers({"1": WorkerCounters()}))

    (metric,) = scaler["spec"]["metrics"]
    assert f"\n{metric['pods']['metric']['name']}{{" in f"\n{exported}"


def test_only_credentials_of_its_own_identity_are_in_serving():
    secrets = {
        volume["secret"]["secretName"]
        for name, pod in pods("embedded")
        if name == "serving"
        for volume in pod["volumes"]
        if "secret" in volume
    }
    (identity,) = (
        each["value"]
        for _, container in containers("embedded")
        for each in container.get("env", ())
        if each["name"] == "OVERNIGHT_IDENTITY"
    )

    assert secrets == {"serving-credentials", "serving-keys"}
    assert identity in identities.NAMES


def test_the_gpu_is_asked_for_by_the_worker_alone():
    asking = [
        name for name, each in containers("gpu") if "nvidia.com/gpu" in each["resources"]["limits"]
    ]

    assert asking == ["worker/worker"]
