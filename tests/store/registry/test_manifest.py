"""Manifests of every release are still readable."""

import math
from pathlib import Path

import pytest

from overnight.store.registry.manifest import decode

GOLDENS = sorted((Path(__file__).parents[2] / "goldens").glob("manifest-*.json"))


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_a_manifest_of_an_older_release_is_still_read(path: Path) -> None:
    manifest = decode(path.read_bytes(), where=path.name)

    accuracy = manifest.measured("accuracy")
    assert accuracy is not None
    assert (accuracy.value, accuracy.n) == (0.9954, 10_000)
    missing = manifest.measured("accuracy", "digit 1")
    assert missing is not None
    assert math.isnan(missing.value)
    assert [finding.applicable for finding in manifest.findings] == [True, False]
    assert manifest.override is not None
    assert (manifest.override.by, manifest.approval) == ("ann", "manual")
    assert manifest.tensors.inputs[0].v2_shape == [-1, 28, 28]


def test_there_is_a_manifest_of_every_release() -> None:
    assert [path.stem for path in GOLDENS] == ["manifest-0.1.0"]
