"""Manifests of every release are still readable."""

import math
from pathlib import Path

import pytest

from overnight.store.registry.manifest import Finding, decode

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


@pytest.mark.parametrize(
    ("figures", "criterion"),
    [
        ({"value": 0.5, "bound": 0.9, "direction": "at least"}, "≥ 0.9"),
        ({"value": 50_000, "bound": 50_000, "direction": "at most"}, "≤ 50,000"),
        # It passed below its bound, and above another: neither says which way the bound is meant.
        ({"value": -0.0017, "bound": 0, "p": 0.85, "alpha": 0.025, "presumed": "no worse"},
         "p = 0.85, needs > 0.025"),
        ({"value": -0.0039, "bound": -0.003, "p": 0.85, "alpha": 0.025, "presumed": "worse"},
         "p = 0.85, needs ≤ 0.025"),
        # As an older release wrote it.
        ({"value": 0.0005, "bound": 0, "p": 0.9, "alpha": 0.025}, "p = 0.9, needs > 0.025"),
        ({"value": 0.5, "bound": 0.9}, "0.9"),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_finding_says_what_decided(figures, criterion):
    finding = Finding(gate="AtLeast", metric="accuracy", passed=True, message="", **figures)

    assert finding.criterion == criterion
