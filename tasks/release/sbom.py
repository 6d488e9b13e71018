"""The software bill of materials of a version: every package installed where it was trained.

It is a CycloneDX 1.6 document (ECMA-424), so that scanners can match it with vulnerabilities
published later. The same environment gives the same bytes for a version.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from overnight.store.registry.manifest import EnvironmentLineage

FILE = "sbom.cdx.json"
_SERIAL_NAMESPACE = uuid.UUID("6f2f9d2e-6f0e-5d0b-9a3e-3d5f0c7f8a11")
# PyPA, "Recording installed projects": the folder is named after the package and its version.
_INSTALLED = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-]+)\.dist-info")


def build(
    model: str,
    version: str,
    environment: EnvironmentLineage,
    *,
    folders: Iterable[str] | None = None,
) -> bytes:
    """The document for one version; `folders` hold the packages, `sys.path` by default."""
    packages = sorted(_installed(sys.path if folders is None else folders))
    components = [_package(name, package_version) for name, package_version in packages]
    references = [component["bom-ref"] for component in components]
    subject = f"{model}@{version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SERIAL_NAMESPACE, f'{subject} {references}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": subject,
                "name": model,
                "version": version,
            },
            "properties": [
                {"name": "overnight:python", "value": environment.python},
                {"name": "overnight:platform", "value": environment.platform},
                {"name": "overnight:lock-sha256", "value": environment.lock_digest},
            ],
        },
        "components": components,
        "dependencies": [{"ref": subject, "dependsOn": references}],
    }
    return json.dumps(document, indent=1).encode()


def _installed(folders: Iterable[str]) -> set[tuple[str, str]]:
    """Names and versions of packages, read off the names of their folders.

    Reading 230 files of metadata would take half a second of every run.
    """
    packages = set()
    for path in filter(Path.is_dir, map(Path, folders)):
        for folder in path.glob("*.dist-info"):
            if match := _INSTALLED.fullmatch(folder.name):
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                packages.add((name, match["version"]))
    return packages


def _package(name: str, version: str) -> dict[str, Any]:
    # The plus sign of a local version has a meaning of its own in a purl.
    purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
