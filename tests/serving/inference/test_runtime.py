"""The predictor agrees with LiteRT for any number of rows, from any thread; golden examples."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.loaded_version import check_golden
from overnight.serving.inference.runtime import Predictor, interpreters_for
from overnight.store.input_encodings import Missing
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles, forecasts, published
from tests.support.waiting import until

IMAGES = np.random.default_rng(5).integers(0, 20, (200, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(bundles.manifest(1, bundles.files(1)), bundles.network(1), threads=2)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 31, 63, 64, 65, 128, 129, 200])
def test_every_batch_size_gives_the_predictions_of_single_rows(predictor, rows):
    answers = predictor.predict({"image": IMAGES[:rows]}, ["probabilities", "seen"])

    assert answers["probabilities"].shape == (rows, 10)
    assert np.allclose(answers["probabilities"], bundles.probabilities(1, IMAGES[:rows]), atol=1e-6)
    assert np.array_equal(answers["seen"], IMAGES[:rows] // 2)


def test_only_the_requested_outputs_are_returned(predictor):
    assert predictor.predict({"image": IMAGES[:1]}, ["seen"]).keys() == {"seen"}


def test_threads_share_a_predictor_without_mixing_results(predictor):
    expected = bundles.probabilities(1, IMAGES)

    def send(place: int) -> bool:
        rows = place % 5 + 1
        actual = predictor.predict({"image": IMAGES[place : place + rows]}, ["probabilities"])
        return np.allclose(actual["probabilities"], expected[place : place + rows], atol=1e-6)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(send, list(range(190)) * 5))


def _with(inputs=bundles.TENSORS.inputs, outputs=bundles.TENSORS.outputs) -> Schema:
    return Schema(inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (_with(inputs=(TensorSpec(name="picture", datatype="UINT8", shape=(28, 28)),)), "picture"),
        (_with(inputs=(TensorSpec(name="image", datatype="FP32", shape=(28, 28)),)), "float32"),
        (_with(inputs=(TensorSpec(name="image", datatype="UINT8", shape=(32, 32)),)), "cannot run"),
        (_with(outputs=(TensorSpec(name="logits", datatype="FP32", shape=(10,)),)), "logits"),
        (_with(outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(9,)),)), "shape"),
    ],
    ids=["input's name", "input's type", "input's shape", "output's name", "output's shape"],
)
def test_a_network_whose_tensors_differ_from_the_manifest_is_unfit(tensors, reason):
    manifest = bundles.manifest(1, bundles.files(1), tensors=tensors)
    with pytest.raises(UnfitVersion, match=reason):
        Predictor(manifest, bundles.network(1), threads=1)


def test_a_network_may_have_undeclared_outputs():
    manifest = bundles.manifest(
        1, bundles.files(1), tensors=_with(outputs=bundles.TENSORS.outputs[:1])
    )
    assert Predictor(manifest, bundles.network(1), threads=1).outputs[0].name == "probabilities"


@pytest.mark.parametrize("body", [b"", b"not a network", bundles.network(1)[:200]])
def test_invalid_network_bytes_are_unfit(body):
    with pytest.raises(UnfitVersion, match="LiteRT cannot run it"):
        Predictor(bundles.manifest(1, bundles.files(1)), body, threads=1)


def test_golden_examples_pass_when_reproduced(predictor):
    check_golden(predictor, bundles.golden(1, images=IMAGES))


def test_the_error_names_the_golden_example_that_differs(predictor):
    with pytest.raises(UnfitVersion, match=r"200 of 200 golden examples .* example 0 was"):
        check_golden(predictor, bundles.golden(20, images=IMAGES))


def test_another_class_fails_even_within_the_tolerance():
    # Given a version whose probabilities of a blank image are equal, so that its class is 0.
    undecided = Predictor(bundles.manifest(0, bundles.files(0)), bundles.network(0), threads=1)
    expected = np.full((1, 10), 0.1, np.float32)
    expected[0, 1] += 0.001

    with pytest.raises(UnfitVersion, match="1 of 1 golden examples"):
        check_golden(undecided, bundles.archive(np.zeros((1, 28, 28), np.uint8), expected))


def test_a_changed_boolean_of_a_golden_example_fails():
    # Given a forecast, and golden examples with the boolean of one shop flipped.
    files, request = forecasts.files(), forecasts.rows()
    predictor = Predictor(forecasts.manifest(1, files), files["predictor.tflite"], threads=1)
    answers = forecasts.expected(request)
    flipped = answers["known"].copy()
    flipped[3, 0] = 1 - flipped[3, 0]

    check_golden(predictor, forecasts.archive(request, answers))
    with pytest.raises(UnfitVersion, match=r"1 of 20 golden .* known of example 3"):
        check_golden(predictor, forecasts.archive(request, answers | {"known": flipped}))


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (b"", "not a set of golden examples"),
        (bundles.archive(IMAGES[:0], np.zeros((0, 10), np.float32)), "no rows"),
        (bundles.archive(IMAGES[:2], np.zeros((2, 9), np.float32)), r"shape \(2, 10\), expected"),
        (bundles.archive(IMAGES[:2], np.zeros((1, 10), np.float32)), r"shape \(2, 10\), expected"),
    ],
    ids=["nothing", "no rows", "fewer classes", "fewer rows"],
)
def test_invalid_golden_examples_make_a_version_unfit(predictor, archive, reason):
    with pytest.raises(UnfitVersion, match=reason):
        check_golden(predictor, archive)


def test_chunks_of_a_long_batch_run_in_threads_and_stay_in_order(predictor):
    images = np.random.default_rng(6).integers(0, 20, (1_000, 28, 28), dtype=np.uint8)
    expected = bundles.probabilities(1, images)

    with ThreadPoolExecutor(4) as threads:
        asking = [
            threads.submit(predictor.predict, {"image": images[start:]}, ["probabilities"])
            for start in range(4)
        ]
        for start, answered in enumerate(asking):
            actual = answered.result()["probabilities"]
            assert np.allclose(actual, expected[start:], atol=1e-6)


def test_a_single_thread_runs_all_chunks_of_a_long_batch():
    alone = Predictor(bundles.manifest(1, bundles.files(1)), bundles.network(1), threads=1)

    answers = alone.predict({"image": IMAGES}, ["probabilities"])

    assert np.allclose(answers["probabilities"], bundles.probabilities(1, IMAGES), atol=1e-6)


def test_helper_threads_end_when_the_predictor_is_closed():
    before = threading.active_count()
    predictor = Predictor(bundles.manifest(1, bundles.files(1)), bundles.network(1), threads=3)
    predictor.predict({"image": IMAGES}, ["probabilities"])
    assert threading.active_count() > before

    del predictor

    until(lambda: threading.active_count() <= before, what="the helpers ended")


def test_loading_pauses_between_two_interpreters():
    pauses = []
    Predictor(
        bundles.manifest(1, bundles.files(1)),
        bundles.network(1),
        threads=2,
        pause=lambda: pauses.append(1),
    )

    assert len(pauses) == interpreters_for(2)


def test_the_networks_inputs_follow_from_the_encodings_of_the_manifest() -> None:
    # Given a network that takes the flag of missing prices, which this manifest does not declare.
    files = published.files()
    price = published.PRICE.model_copy(update={"missing": Missing(value=0)})
    tensors = published.TENSORS.with_inputs({"price": price})

    with pytest.raises(UnfitVersion, match="price_missing"):
        Predictor(bundles.manifest(1, files, tensors=tensors), files["predictor.tflite"], threads=1)
