"""What a container of the training side starts, and the secrets that are made for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from overnight.infra import identities, settings
from overnight.infra.stack import container, deployment_secrets
from overnight.store.errors import ConfigurationError
from tests.support.checkers import INFRA

ELSEWHERE = {"s3_endpoint": "http://store:8333", "prefect_api_url": "http://prefect:4200/api"}


def chosen(home: Path, **values: object) -> settings.Settings:
    return settings.Settings(home=home, **values)  # type: ignore[arg-type]


def test_the_worker_is_that_of_one_machine_and_answers_for_its_health(tmp_path):
    service = container.prepared("worker", chosen(tmp_path / "home", **ELSEWHERE))

    assert container.command(service)[-1] == "--with-healthcheck"
    assert service.environment["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert service.environment["OVERNIGHT_IDENTITY"] == "training"


@pytest.mark.parametrize("missing", sorted(ELSEWHERE))
def test_without_servers_elsewhere_it_says_which_setting_is_missing(tmp_path, missing):
    there = {name: value for name, value in ELSEWHERE.items() if name != missing}

    with pytest.raises(ConfigurationError, match=f"OVERNIGHT_{missing.upper()}.*overnight up"):
        container.prepared("worker", chosen(tmp_path, **there))


def test_another_name_is_wrong_usage():
    command = [sys.executable, "-m", "overnight.infra.stack.container", "serving"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "register | worker" in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    deployment_secrets.make(folder, chosen(folder / "no-home"), manual=["digits"])
    return folder


def test_every_secret_of_compose_is_made(made):
    compose = yaml.safe_load((INFRA / "compose.yaml").read_text())

    for name, secret in compose["secrets"].items():
        file = made / secret["file"].removeprefix("./compose/secrets/")
        assert file.stat().st_size, name
        # By the user of the container, who is not its owner, through a folder that only he enters.
        assert file.stat().st_mode & 0o777 == 0o444


def test_nobody_but_the_owner_enters_the_folder(made):
    assert made.stat().st_mode & 0o777 == 0o700


def test_the_secrets_fit_one_another(made):
    known = {name: identities.read(identities.path(made, name)) for name in identities.NAMES}
    store = json.loads((made / "s3.json").read_text())
    address = (made / "PREFECT_SERVER_DATABASE_CONNECTION_URL").read_text()

    for identity in store["identities"]:
        pair = known[identity["name"]]
        assert pair is not None
        assert identity["credentials"][0]["secretKey"] == pair.secret_key
    assert f":{(made / 'postgres-password').read_text()}@" in address
    auth = (made / "OVERNIGHT_PREFECT_AUTH").read_text()
    assert (made / "PREFECT_SERVER_API_AUTH_STRING").read_text() == auth
    assert re.fullmatch(r"overnight:[0-9a-f]{64}", auth)
    assert "models/digits/aliases/*" in (made / "s3.json").read_text()


def test_making_them_again_replaces_nothing(made):
    before = {file: file.read_bytes() for file in made.rglob("*") if file.is_file()}

    deployment_secrets.make(made, chosen(made / "no-home"), manual=["digits"])

    assert {file: file.read_bytes() for file in made.rglob("*") if file.is_file()} == before
