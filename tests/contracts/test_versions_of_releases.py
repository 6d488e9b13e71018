"""Versions of every release, from real pipeline runs: trusted, served and readable."""

import importlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from overnight.models import catalogue
from overnight.serving.inference.golden_examples import GOLDEN
from overnight.serving.inference.loaded_version import check_golden
from overnight.serving.inference.runtime import Predictor
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust

GOLDENS = Path(__file__).parents[1] / "goldens" / "versions"
RELEASES = sorted(path.name for path in GOLDENS.iterdir())
# Weights of eight bits, beside the network itself: of probabilities, and of pieces a day.
NEAR = {"digits": {"atol": 0.05}, "sales": {"atol": 0.5, "rtol": 0.05}}


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    return GOLDENS / request.param


@pytest.fixture(scope="module")
def bucket(release: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    for path in (release / "models").rglob("*"):
        if path.is_file():
            bucket.create(str(path.relative_to(release)), path.read_bytes())
    return bucket


@pytest.fixture(scope="module", params=["digits", "sales"])
def manifest(request: pytest.FixtureRequest, release: Path, bucket: MemoryBucket) -> Manifest:
    (version,) = ModelRegistry(bucket, request.param).versions()
    trust = Trust.from_file(release / "trusted")
    return ModelRegistry(bucket, request.param, trust).trusted(version).manifest


@pytest.fixture(scope="module")
def files(bucket: MemoryBucket, manifest: Manifest) -> dict[str, bytes]:
    """All of its files, each with the size and digest that the signed manifest says."""
    ModelRegistry(bucket, manifest.model).check_nothing_added(manifest)
    return {
        name: ModelRegistry(bucket, manifest.model).read_file(manifest, name)
        for name in manifest.files
    }


def test_there_are_versions_of_every_release_and_model() -> None:
    assert RELEASES == ["0.1.0"]
    assert set(NEAR) == set(catalogue())


def test_it_is_trusted_and_predicts_as_before(bucket, manifest, files):
    decision = ModelRegistry(bucket, manifest.model).decisions.find(manifest.version)
    assert decision is not None
    assert decision.verdict == "approved"
    predictor = Predictor(manifest, files["predictor.tflite"], threads=1)

    predicted = check_golden(predictor, files[GOLDEN])

    assert set(predicted) == {spec.name for spec in manifest.tensors.inputs}


@pytest.mark.training
def test_its_network_loads_and_predicts_as_the_exported_model(manifest, files, tmp_path):
    path = tmp_path / "network.keras"
    path.write_bytes(files["network.keras"])
    network = importlib.import_module(f"overnight.models.{manifest.model}.network")
    with np.load(io.BytesIO(files[GOLDEN]), allow_pickle=False) as archive:
        examples = {name: archive[name] for name in archive.files}

    outputs = network.predict(
        network.load(path),
        {spec.name: examples[f"input.{spec.name}"] for spec in manifest.tensors.inputs},
    )

    answer = manifest.tensors.outputs[0].name
    expected = examples[f"output.{answer}"]
    assert np.allclose(outputs[answer], expected, **NEAR[manifest.model])


def test_its_reports_are_there(manifest, files):
    assert b"<html" in files["report.html"]
    assert manifest.code.digest[:12].encode() in files["report.html"]
    assert json.loads(files["sbom.cdx.json"])["bomFormat"] == "CycloneDX"
    assert manifest.findings
    assert all(finding.passed for finding in manifest.findings)
