"""The network learns, reads a digit of any place and size, and answers alike once exported."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.models.definition import Progress, TrainingSettings
from overnight.models.digits import network
from overnight.models.digits.network import Fitted
from overnight.models.examples import Examples
from overnight.models.novelty import Novelty
from overnight.serving.inference.loaded_version import load_version
from overnight.store.novelty import SCORE_OUTPUT, UNLIKE_TRAINING, NoveltyRule
from overnight.store.registry.manifest import Exported
from overnight.tasks.training.novelty_rule import novelty_rule
from tests.support import drawings
from tests.support.serving import bundles

# Keras 3.15 hands variables to numpy 2 the old way while a network is exported.
pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SETTINGS = TrainingSettings(
    epochs=4,
    batch_rows=32,
    learning_rate=0.02,
    seed=7,
    validation_share=0.1,
    patience_epochs=4,
)
# The segments of a pocket calculator: top, upper left, upper right, middle, lower left, lower
# right, bottom.
SEGMENTS = ("1110111", "0010010", "1011101", "1011011", "0111010")
SEGMENTS += ("1101011", "1101111", "1010010", "1111111", "1111011")


def draw(
    digit: int, *, height: int = 20, row: int = 4, column: int = 9, pen: int = 2
) -> NDArray[np.uint8]:
    """Draw a digit as a pocket calculator does, uint8 [28, 28], from its upper left corner on."""
    width, half = height // 2, height // 2
    boxes = (
        (0, 0, pen, width),
        (0, 0, half, pen),
        (0, width - pen, half, pen),
        (half - pen // 2, 0, pen, width),
        (half, 0, height - half, pen),
        (half, width - pen, height - half, pen),
        (height - pen, 0, pen, width),
    )
    image = np.zeros((28, 28), np.uint8)
    for lit, (top, left, tall, wide) in zip(SEGMENTS[digit], boxes, strict=True):
        if lit == "1":
            image[row + top : row + top + tall, column + left : column + left + wide] = 255
    return image


def drawn(n: int, *, seed: int) -> Examples:
    """Draw n digits with pens of 1 to 4 pixels and a little noise in the ink."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, n)
    images = np.stack([draw(int(label), pen=int(random.integers(1, 5))) for label in labels])
    ink = random.integers(160, 256, images.shape)
    return Examples({"image": np.where(images > 0, ink, 0).astype(np.uint8)}, labels)


def answers(fitted: Fitted, *images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return network.predict(fitted.network, {"image": np.stack(images)})


@pytest.fixture(scope="module")
def reports() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def fitted(reports: list[Progress]) -> Fitted:
    return network.fit(
        drawn(800, seed=1), drawn(100, seed=2), settings=SETTINGS, report=reports.append
    )


@pytest.fixture(scope="module")
def exported(fitted: Fitted) -> dict[str, bytes]:
    return network.export(fitted.network, drawn(100, seed=3).inputs)


@pytest.fixture(scope="module")
def scored(fitted: Fitted) -> dict[str, bytes]:
    """The same network, exported with the score of how unlike its training rows a row is."""
    sample = drawn(100, seed=3).inputs
    return network.export(fitted.network, sample, score_rows=drawn(800, seed=1))


@pytest.fixture(scope="module")
def rule(scored: dict[str, bytes]) -> NoveltyRule:
    predictor = scored["predictor.tflite"]
    return novelty_rule(Novelty(), predictor, drawn(800, seed=1), drawn(800, seed=12))


def unlike(scored: dict[str, bytes], rule: NoveltyRule, images: NDArray[np.uint8]) -> float:
    """The share of images that is flagged."""
    scores = network.run_predictor(scored["predictor.tflite"], {"image": images})[SCORE_OUTPUT]
    return float((scores > rule.threshold).mean())


def test_a_short_fit_learns(fitted: Fitted) -> None:
    fresh = drawn(200, seed=4)

    probabilities = network.predict(fitted.network, fresh.inputs)["probabilities"]

    assert (probabilities.argmax(axis=1) == fresh.labels).mean() >= 0.95
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_fit_tells_how_far_it_is(fitted: Fitted, reports: list[Progress]) -> None:
    ends = [report for report in reports if report.step == report.steps]

    assert [end.epoch for end in ends] == list(range(1, len(fitted.history) + 1))
    assert [end.metrics for end in ends] == fitted.history
    assert set(fitted.history[0]) == {
        "loss",
        "accuracy",
        "validation_loss",
        "validation_accuracy",
        "seconds",
    }


def test_the_same_seed_gives_the_same_weights_bit_for_bit(fitted: Fitted) -> None:
    again = network.fit(
        drawn(800, seed=1), drawn(100, seed=2), settings=SETTINGS, report=lambda _: None
    )

    weights = fitted.network.get_weights(), again.network.get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))


def test_another_seed_gives_other_weights() -> None:
    first, second = network.build(seed=1), network.build(seed=2)

    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


def test_a_fit_stops_when_validation_no_longer_improves() -> None:
    # Labels drawn by lot: nothing about them can be learned.
    def by_lot(n: int, seed: int) -> Examples:
        labels = np.random.default_rng(seed).integers(0, 10, n)
        return Examples(drawn(n, seed=seed).inputs, labels)

    settings = SETTINGS.model_copy(update={"epochs": 30, "patience_epochs": 1})
    fit = network.fit(by_lot(32, 8), by_lot(32, 9), settings=settings, report=lambda _: None)

    losses = [epoch["validation_loss"] for epoch in fit.history]
    assert len(losses) < 30
    assert losses[-1] >= min(losses[:-1])


def test_a_fit_without_images_is_refused() -> None:
    nothing = Examples({"image": np.zeros((0, 28, 28), np.uint8)}, np.zeros(0, np.int64))

    with pytest.raises(ValueError, match="got 0 to learn from and 10 to validate on"):
        network.fit(nothing, drawn(10, seed=1), settings=SETTINGS, report=print)


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_in_a_corner_is_seen_as_the_one_in_the_middle(fitted: Fitted, digit: int) -> None:
    middle, corner = draw(digit), draw(digit, row=8, column=18)

    answer = answers(fitted, middle, corner)

    assert np.array_equal(answer["seen"][0], answer["seen"][1])
    assert answer["probabilities"].argmax(axis=1).tolist() == [digit, digit]


@pytest.mark.parametrize(("height", "pen"), [(9, 1), (12, 1), (16, 2), (26, 3)])
def test_a_digit_of_another_size_is_recognised(fitted: Fitted, height: int, pen: int) -> None:
    others = [draw(digit, height=height, row=1, column=1, pen=pen) for digit in range(10)]

    answer = answers(fitted, *others)["probabilities"].argmax(axis=1)

    assert (answer == np.arange(10)).mean() >= 0.9


def test_a_faint_digit_is_recognised(fitted: Fitted) -> None:
    bright = [draw(digit) for digit in range(10)]
    # Some clients send ink as 1 instead of 255.
    faint = [image // 255 for image in bright]

    assert np.array_equal(answers(fitted, *faint)["seen"], answers(fitted, *bright)["seen"])


def test_a_picture_made_as_mnist_was_passes_untouched(fitted: Fitted) -> None:
    # An 8 is symmetrical, so its centre of mass is that of its box.
    image = draw(8, row=4, column=9)

    assert np.array_equal(answers(fitted, image)["seen"][0], image)


def test_a_blank_picture_is_answered_with_numbers(
    fitted: Fitted, exported: dict[str, bytes]
) -> None:
    blank = {"image": np.zeros((2, 28, 28), np.uint8)}

    for answer in (
        network.predict(fitted.network, blank),
        network.run_predictor(exported["predictor.tflite"], blank),
    ):
        assert np.isfinite(answer["probabilities"]).all()
        assert not answer["seen"].any()


def test_the_predictor_answers_as_the_network_does(
    fitted: Fitted, exported: dict[str, bytes]
) -> None:
    fresh = drawn(300, seed=10).inputs

    expected = network.predict(fitted.network, fresh)
    answered = network.run_predictor(exported["predictor.tflite"], fresh)

    assert set(answered) == {"probabilities", "seen"}
    assert np.array_equal(answered["seen"], expected["seen"])
    assert np.allclose(answered["probabilities"], expected["probabilities"], atol=0.1)
    agreed = answered["probabilities"].argmax(1) == expected["probabilities"].argmax(1)
    assert agreed.mean() >= 0.99


@pytest.mark.parametrize("rows", [1, 2, 7, 128])
def test_the_predictor_takes_any_number_of_rows(exported: dict[str, bytes], rows: int) -> None:
    interpreter = Interpreter(model_content=exported["predictor.tflite"], num_threads=1)
    [taken] = interpreter.get_input_details()

    interpreter.resize_tensor_input(taken["index"], [rows, 28, 28], strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], drawn(rows, seed=11).inputs["image"])
    interpreter.invoke()

    shapes = {
        tuple(interpreter.get_tensor(o["index"]).shape) for o in interpreter.get_output_details()
    }
    assert shapes == {(rows, 10), (rows, 28, 28)}


def test_the_saved_network_loads_in_safe_mode_and_answers_the_same(
    fitted: Fitted, exported: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "network.keras").write_bytes(exported["network.keras"])
    fresh = drawn(50, seed=12).inputs

    loaded = network.load(tmp_path / "network.keras")

    expected = network.predict(fitted.network, fresh)["probabilities"]
    assert np.array_equal(network.predict(loaded, fresh)["probabilities"], expected)


def test_what_decided_between_int8_and_float_goes_along(exported: dict[str, bytes]) -> None:
    reported = Exported.model_validate_json(exported["exported.json"])

    assert (reported.weights, reported.rows, reported.sufficient) == ("int8", 100, 0.999)
    assert reported.agreement >= 0.999


def test_weights_stay_floats_when_int8_would_change_answers() -> None:
    # Given a network whose classes are nearly one, so that rounding changes its answers.
    undecided, chance = network.build(seed=1), np.random.default_rng(2)
    logits = undecided.get_layer("reader").get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel[:, :1] + 1e-4 * chance.normal(size=kernel.shape), bias])
    noise = np.random.default_rng(5).integers(0, 256, (1_000, 28, 28), dtype=np.uint8)
    sample = {"image": noise}

    exported = network.export(undecided, sample)

    reported = Exported.model_validate_json(exported["exported.json"])
    assert reported.weights == "float32"
    assert reported.agreement < 0.999
    # Four bytes for each of nearly all parameters: it is not only told.
    assert len(exported["predictor.tflite"]) > 3.5 * undecided.count_params()
    answered = network.run_predictor(exported["predictor.tflite"], sample)["probabilities"]
    assert np.allclose(answered, network.predict(undecided, sample)["probabilities"], atol=1e-5)


@pytest.mark.parametrize("kind", sorted(drawings.DRAWINGS))
def test_what_is_no_digit_is_told_by_its_score(
    scored: dict[str, bytes], rule: NoveltyRule, kind: str
) -> None:
    images = drawings.DRAWINGS[kind](200, np.random.default_rng(7))

    assert unlike(scored, rule, images) >= 0.95


def test_digits_are_flagged_no_more_often_than_declared(
    scored: dict[str, bytes], rule: NoveltyRule
) -> None:
    assert rule.rows == 800
    # Of 2,000 rows at one in a hundred; the threshold itself varies by a third of that.
    assert unlike(scored, rule, drawn(2000, seed=13).inputs["image"]) <= 0.025


def test_a_score_leaves_answers_and_the_trained_network_as_they_are(
    exported: dict[str, bytes], scored: dict[str, bytes]
) -> None:
    fresh = drawn(100, seed=14).inputs
    plain, more = (
        network.run_predictor(files["predictor.tflite"], fresh) for files in (exported, scored)
    )

    assert set(more) - set(plain) == {SCORE_OUTPUT}
    assert more[SCORE_OUTPUT].shape == (100,)
    assert (more[SCORE_OUTPUT] >= 0).all()
    assert np.array_equal(more["seen"], plain["seen"])
    assert np.allclose(more["probabilities"], plain["probabilities"], atol=1e-5)


def test_serving_flags_by_the_exported_score(scored: dict[str, bytes], rule: NoveltyRule) -> None:
    manifest = bundles.manifest(1, scored).model_copy(update={"novelty": rule})
    predictor = load_version(manifest, scored, threads=1)
    images = drawn(20, seed=15).inputs["image"]
    images = np.concatenate([images, drawings.noise(1, np.random.default_rng(1))])

    answers = predictor.predict({"image": images}, ["probabilities", UNLIKE_TRAINING])

    assert set(answers) == {"probabilities", UNLIKE_TRAINING}
    assert answers[UNLIKE_TRAINING][-1] > 1
    assert predictor.predict({"image": images[:1]}, ["seen", UNLIKE_TRAINING]).keys() == {"seen"}
