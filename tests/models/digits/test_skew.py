"""What tutorials get wrong between training and serving, asked of a trained network over HTTP.

Scaling, centring and turning are inside the network, so a client that prepares pictures otherwise
is either answered the same or told what is wrong; never answered wrongly without a word.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from overnight.models.definition import Places
from overnight.models.digits import DEFINITION, idx, mnist_files, network
from overnight.models.digits.gates import PERTURBATIONS
from overnight.models.examples import Examples
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.training,
    # Keras 3.15 hands variables to numpy 2 the old way while a network is exported.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
ROWS = 200


@pytest.fixture(scope="module")
def digits(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Genuine digits: some to learn, and the first of t10k to ask."""
    places = Places(folder=digits_folder, cache=tmp_path_factory.mktemp("sources"))
    files = mnist_files.official_files(places)
    return {
        "images": idx.decode("images", files[mnist_files.TRAIN_IMAGES], idx.IMAGES)[:6_000],
        "labels": idx.decode("labels", files[mnist_files.TRAIN_LABELS], idx.LABELS)[:6_000],
        "requested": idx.decode("requested", files[mnist_files.TEST_IMAGES], idx.IMAGES)[:ROWS],
        "true": idx.decode("true", files[mnist_files.TEST_LABELS], idx.LABELS)[:ROWS],
    }


@pytest.fixture(scope="module")
def serving(
    digits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A network that learned for two epochs, exported and served."""
    images, labels = digits["images"], digits["labels"].astype(np.int64)
    fitted = network.fit(
        Examples({"image": images[:5_500]}, labels[:5_500]),
        Examples({"image": images[5_500:]}, labels[5_500:]),
        settings=DEFINITION.settings.model_copy(update={"epochs": 2}),
        report=lambda _progress: None,
    )
    files = network.export(fitted.network, {"image": images[:500]})
    few = images[:5]
    expected = network.run_predictor(files["predictor.tflite"], {"image": few})["probabilities"]
    place = tmp_path_factory.mktemp("skew")
    bundle = {**files, "golden.npz": bundles.archive(few, expected)}
    bundles.folder(place / "bundle", 1, bundle)
    with run_serving("--rehearse", str(place / "bundle"), place=place) as found:
        until(found.is_ready, what="serving ready")
        yield found


def ask(serving: Serving, images: np.ndarray, datatype: str = "UINT8") -> tuple[int, object]:
    """One request of the Open Inference Protocol."""
    tensor = {"name": "image", "datatype": datatype, "shape": list(images.shape)}
    outputs = [{"name": "probabilities"}, {"name": "seen"}]
    body = {"inputs": [{**tensor, "data": images.ravel().tolist()}], "outputs": outputs}
    status, _, answer = serving.request("POST", "/v2/models/digits/infer", body)
    return status, answer


def answered(serving: Serving, images: np.ndarray) -> dict[str, np.ndarray]:
    status, answer = ask(serving, images)
    assert status == 200, answer
    assert isinstance(answer, dict)
    return {
        output["name"]: np.asarray(output["data"]).reshape(output["shape"])
        for output in answer["outputs"]
    }


def accuracy(answer: dict[str, np.ndarray], true: np.ndarray) -> float:
    return float((answer["probabilities"].argmax(axis=1) == true).mean())


def test_pictures_as_they_are_trained_on_are_read(
    serving: Serving, digits: dict[str, np.ndarray]
) -> None:
    assert accuracy(answered(serving, digits["requested"]), digits["true"]) >= 0.95


def test_bytes_do_not_ruin_the_confidences(serving: Serving, digits: dict[str, np.ndarray]) -> None:
    # 0 to 255 fed to a network of 0 to 1 answers as often right, and is sure of everything.
    confidence = answered(serving, digits["requested"])["probabilities"].max(axis=1)

    assert confidence.min() < 0.9
    assert abs(confidence.mean() - 0.97) < 0.05


@pytest.mark.parametrize(
    ("datatype", "reported"),
    [("UINT8", "expected whole numbers of 0 to 255, found 0."), ("FP32", "expected UINT8")],
)
def test_pictures_divided_by_255_are_refused_and_the_field_is_named(
    serving: Serving, digits: dict[str, np.ndarray], datatype: str, reported: str
) -> None:
    status, answer = ask(serving, digits["requested"][:2] / 255, datatype)

    assert status == 400
    assert "inputs[0]" in str(answer)
    assert reported in str(answer)


def test_pictures_divided_by_255_are_refused_in_tensorflows_form_too(
    serving: Serving, digits: dict[str, np.ndarray]
) -> None:
    body = {"instances": (digits["requested"][:2] / 255).tolist()}

    status, _, answer = serving.request("POST", "/v1/models/digits:predict", body)

    assert status == 400
    assert "instances[0]" in str(answer)
    assert "expected whole numbers of 0 to 255, found 0." in str(answer)


def test_ink_sent_as_one_is_read_as_ink_sent_as_255(
    serving: Serving, digits: dict[str, np.ndarray]
) -> None:
    ink = digits["requested"] > 127

    bright = answered(serving, (ink * 255).astype(np.uint8))
    faint = answered(serving, ink.astype(np.uint8))

    assert np.array_equal(faint["seen"], bright["seen"])
    assert np.array_equal(faint["probabilities"], bright["probabilities"])


def test_black_on_white_is_answered_as_white_on_black(
    serving: Serving, digits: dict[str, np.ndarray]
) -> None:
    plain = answered(serving, digits["requested"])
    turned = answered(serving, 255 - digits["requested"])

    assert np.array_equal(turned["seen"], plain["seen"])
    assert np.array_equal(turned["probabilities"], plain["probabilities"])


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name.startswith("shifted")])
def test_a_digit_off_the_centre_is_read(
    serving: Serving, digits: dict[str, np.ndarray], name: str
) -> None:
    moved = PERTURBATIONS[name]({"image": digits["requested"]})["image"]

    assert accuracy(answered(serving, np.asarray(moved)), digits["true"]) >= 0.95
