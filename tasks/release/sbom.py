"""The bill of materials of a version: every package that was installed where it was trained.

It is a CycloneDX 1.6 document (ECMA-424), so that other tools can hold it against what becomes
known of a package later. The same environment always makes the same bytes for a version.
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
_NAMESPACE = uuid.UUID("6f2f9d2e-6f0e-5d0b-9a3e-3d5f0c7f8a11")
# A folder of an installed package is named after it (PyPA: recording installed projects).
_INSTALLED = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-]+)\.dist-info")


def build(
    model: str,
    version: str,
    environment: EnvironmentLineage,
    *,
    places: Iterable[str] | None = None,
) -> bytes:
    """The document for one version; `places` are the folders of packages, by default our own."""
    packages = sorted(_installed(sys.path if places is None else places))
    components = [_package(name, number) for name, number in packages]
    references = [component["bom-ref"] for component in components]
    made = f"{model}@{version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{made} {references}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": made,
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
        "dependencies": [{"ref": made, "dependsOn": references}],
    }
    return json.dumps(document, indent=1).encode()


def _installed(places: Iterable[str]) -> set[tuple[str, str]]:
    """Names and versions by the names of folders: reading 230 files of metadata takes half a
    second, which a night need not pay.
    """
    found = set()
    for place in filter(Path.is_dir, map(Path, places)):
        for folder in place.glob("*.dist-info"):
            if match := _INSTALLED.fullmatch(folder.name):
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                found.add((name, match["version"]))
    return found


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
