"""The bill of materials lists the installed packages in a standard format."""

import importlib.metadata
import json
import re

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from overnight.store.registry.manifest import EnvironmentLineage
from overnight.tasks.release.sbom import build

ENVIRONMENT = EnvironmentLineage(python="3.11.2", platform="Linux", lock_digest="ab" * 32)
VERSION = "20261122T020000-0123456789ab"


def test_it_names_every_installed_package_as_its_metadata_does():
    document = json.loads(build("digits", VERSION, ENVIRONMENT))

    named = {(component["name"], component["version"]) for component in document["components"]}
    installed = {
        (re.sub(r"[-_.]+", "-", distribution.name).lower(), distribution.version)
        for distribution in importlib.metadata.distributions()
    }
    assert named == installed
    assert document["metadata"]["component"]["version"] == VERSION
    assert len(document["dependencies"][0]["dependsOn"]) == len(installed)


def test_it_conforms_to_the_standard():
    result = JsonStrictValidator(SchemaVersion.V1_6).validate_str(
        build("digits", VERSION, ENVIRONMENT).decode()
    )

    assert result is None, result


def test_the_same_packages_make_the_same_bytes_and_others_do_not(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for place, names in ((first, "zlib_ng-1.0 Some.Thing-2.0+local"), (second, "zlib_ng-1.1")):
        for name in names.split():
            (place / f"{name}.dist-info").mkdir(parents=True)
    (first / "not-a-package.dist-info").mkdir()

    document = build("digits", VERSION, ENVIRONMENT, folders=[str(first), str(tmp_path / "none")])

    assert document == build("digits", VERSION, ENVIRONMENT, folders=[str(first), str(first)])
    assert document != build("digits", VERSION, ENVIRONMENT, folders=[str(second)])
    assert [component["purl"] for component in json.loads(document)["components"]] == [
        "pkg:pypi/some-thing@2.0%2Blocal",
        "pkg:pypi/zlib-ng@1.0",
    ]
