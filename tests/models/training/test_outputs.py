"""A network with several outputs learns each by its own loss, and rows by their own weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Examples
from overnight.models.training import learning
from overnight.models.training.network import Frozen, Network
from overnight.store.schema import Schema, TensorSpec

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions"),
]

SETTINGS = TrainingSettings(
    epochs=3, batch_rows=64, learning_rate=0.1, seed=1, validation_share=0.2, patience_epochs=9
)
TENSORS = Schema(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(2,)),),
    outputs=(
        TensorSpec(name="kind", datatype="FP32", shape=(2,), labels=("small", "large")),
        TensorSpec(name="kind_size", datatype="FP32", shape=(1,)),
        TensorSpec(name="embedding", datatype="FP32", shape=(4,)),
    ),
)


@pytest.fixture(scope="module", autouse=True)
def eagerly():
    """Tracing a function takes longer than these fits."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def build(tensors: Schema) -> keras.Model:
    """Three outputs, of which one name begins with another, and one has no labels."""
    (spec,) = tensors.inputs
    x = keras.Input(spec.shape, name=spec.name)
    embedding = keras.layers.Dense(4, activation="tanh", name="embedding")(x)
    kind = keras.layers.Dense(2, activation="softmax", name="kind")(embedding)
    size = keras.layers.Dense(1, name="size")(embedding)
    return keras.Model({"x": x}, {"kind": kind, "kind_size": size, "embedding": embedding})


NETWORK = Network(
    build,
    losses={"kind": "sparse_categorical_crossentropy", "kind_size": "mse"},
    metrics={"kind": ["accuracy"]},
)


def rows(n: int = 64, **parts) -> Examples:
    x = np.random.default_rng(3).normal(size=(n, 2)).astype(np.float32)
    labels = {"kind": (x[:, 0] > 0).astype(np.int64), "kind_size": x.sum(axis=1)}
    return Examples({"x": x}, labels, tensors=TENSORS, **parts)


def fit(network: Network, examples: Examples, **settings):
    return network.fit(
        examples,
        examples,
        settings=SETTINGS.model_copy(update=settings),
        report=lambda _progress: None,
    )


@pytest.fixture(scope="module")
def fitted():
    return fit(NETWORK, rows())


def test_each_output_has_its_loss_and_metrics_in_the_history(fitted) -> None:
    names = {"loss", "kind.loss", "kind_size.loss", "kind.accuracy"}

    assert {*fitted.history[-1]} == names | {f"validation_{name}" for name in names} | {"seconds"}
    last, first = fitted.history[-1], fitted.history[0]
    assert last["validation_kind.loss"] < first["validation_kind.loss"]
    assert last["validation_kind_size.loss"] < first["validation_kind_size.loss"]
    assert last["validation_loss"] == pytest.approx(
        last["validation_kind.loss"] + last["validation_kind_size.loss"], rel=1e-4
    )


def test_a_fit_of_several_outputs_is_repeated_bit_for_bit(fitted) -> None:
    again = fit(NETWORK, rows())

    for first, second in zip(
        fitted.network.get_weights(), again.network.get_weights(), strict=True
    ):
        assert first.tobytes() == second.tobytes()


def test_a_loss_of_weight_nought_is_not_learned(fitted) -> None:
    network = Network(build, losses=NETWORK.losses, loss_weights={"kind_size": 0.0})

    head = fit(network, rows()).network.get_layer("size")

    assert (head.get_weights()[0] == untrained().get_layer("size").get_weights()[0]).all()
    assert (fitted.network.get_layer("size").get_weights()[0] != head.get_weights()[0]).any()


def untrained() -> keras.Model:
    return NETWORK.built(rows(), SETTINGS)


def contradictory(**parts) -> Examples:
    """The same inputs with either label, half of the rows each."""
    labels = {"kind": np.arange(64) % 2, "kind_size": np.zeros(64)}
    return Examples({"x": np.ones((64, 2), np.float32)}, labels, tensors=TENSORS, **parts)


def large(network: Network, examples: Examples) -> float:
    """How likely the second class is thought to be where labels contradict each other."""
    model = fit(network, examples, epochs=6).network
    return float(network.predict(model, examples.inputs)["kind"][0, 1])


def test_rows_of_more_weight_pull_the_answer_their_way() -> None:
    weights = np.where(np.arange(64) % 2, 9.0, 1.0).astype(np.float32)

    pulled, away = (
        large(NETWORK, contradictory(weights=given)) for given in (weights, 10 - weights)
    )

    assert pulled > 0.6
    assert away < 0.4


def test_classes_of_more_weight_pull_the_answer_their_way_by_name_as_by_number() -> None:
    by_name, by_number = (
        large(Network(build, losses=NETWORK.losses, class_weights={"kind": given}), contradictory())
        for given in ({"large": 9.0}, {1: 9.0})
    )

    assert by_name == by_number
    assert by_name > 0.6


def test_balanced_classes_count_alike_though_one_is_rare() -> None:
    rare = contradictory().take(np.array([n for n in range(64) if n % 2 == 0 or n % 16 == 1]))
    balanced = Network(build, losses=NETWORK.losses, class_weights={"kind": "balanced"})

    assert large(balanced, rare) > large(NETWORK, rare) + 0.1


def test_only_the_proportions_of_weights_matter() -> None:
    half, whole = (
        fit(NETWORK, rows(weights=np.full(64, weight, np.float32))) for weight in (0.5, 1.0)
    )

    assert half.history[-1]["loss"] == whole.history[-1]["loss"]


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"losses": {"kin": "mse"}}, "found 'kin'"),
        ({"loss_weights": {"embedding": 1.0}}, "expected some of kind, kind_size, found 'embed"),
        ({"metrics": {"sort": ["accuracy"]}}, "found 'sort'"),
        ({"class_weights": {"kind": {"medium": 2}}}, "no class is called 'medium'.* small, large"),
        ({"class_weights": {"kind_size": "balanced"}}, "one class index for each row"),
        ({"frozen": Frozen(("body",))}, "no layer body; expected some of .*embedding"),
        ({"losses": {}}, "no losses, so it cannot be trained; declare them"),
    ],
)
def test_what_belongs_to_no_output_or_layer_is_refused_with_those_there_are(declared, problem):
    network = Network(build, **({"losses": NETWORK.losses} | declared))

    with pytest.raises(ValueError, match=problem):
        fit(network, rows())


@pytest.mark.parametrize("weights", [[-1.0, *[1.0] * 63], [float("nan")] * 64, [0.0] * 64])
def test_weights_that_mean_nothing_are_refused(weights) -> None:
    with pytest.raises(ValueError, match="weights of kind: expected numbers of 0 and more"):
        fit(NETWORK, rows(weights=np.array(weights, np.float32)))


def with_body() -> keras.Model:
    """A nested network, in which one layer is frozen for good, below a head."""
    inner = keras.Input((2,))
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(inner)
    normal = keras.layers.BatchNormalization(name="normal", trainable=False)(hidden)
    body = keras.Model(inner, normal, name="body")
    x = keras.Input((2,), name="x")
    answer = keras.layers.Dense(2, activation="softmax")(body(x))
    return keras.Model({"x": x}, {"kind": answer})


@pytest.mark.parametrize("layers", [("body",), ("hidden",)])
def test_frozen_layers_keep_their_weights_until_they_are_thawed(layers) -> None:
    network = Network(
        with_body, losses={"kind": NETWORK.losses["kind"]}, frozen=Frozen(layers, epochs=2)
    )
    before = network.built(rows(), SETTINGS).get_layer("body").get_weights()

    frozen = fit(network, rows(), epochs=2).network
    thawed = fit(network, rows(), epochs=4).network

    body = frozen.get_layer("body").get_weights()
    assert [array.tobytes() for array in body] == [array.tobytes() for array in before]
    assert (frozen.get_weights()[-2] != network.built(rows(), SETTINGS).get_weights()[-2]).any()
    assert (thawed.get_layer("body").get_weights()[0] != before[0]).any()
    # Every part learns afterwards as it did before, in what is saved, too.
    for network_after in (frozen, thawed):
        inside = network_after.get_layer("body")
        assert inside.get_layer("hidden").trainable
        assert not inside.get_layer("normal").trainable


def test_layers_that_are_frozen_for_good_learn_nothing_and_thawed_ones_learn_slowly() -> None:
    losses = {"kind": NETWORK.losses["kind"]}
    before = Network(with_body).built(rows(), SETTINGS).get_weights()[0]

    moved = [
        np.abs(
            fit(Network(with_body, losses=losses, frozen=frozen), rows()).network.get_weights()[0]
            - before
        ).max()
        for frozen in (
            Frozen(("hidden",)),
            Frozen(("hidden",), epochs=1, thawed_rate=0.01),
            Frozen(("hidden",), epochs=1, thawed_rate=1.0),
        )
    ]

    assert moved[0] == 0
    assert 0 < moved[1] < moved[2] / 10


def test_early_stopping_waits_for_the_thaw() -> None:
    """A frozen network that gets no better is not yet what it can become."""
    history = iter([1.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.7])
    network = untrained()

    _, epochs = learning.keep_best(
        network,
        lambda _epoch, _report: {},
        lambda: {"validation_loss": next(history)},
        settings=SETTINGS.model_copy(update={"epochs": 9, "patience_epochs": 2}),
        steps=1,
        report=lambda _progress: None,
        unstopped=4,
    )

    assert [epoch["validation_loss"] for epoch in epochs] == [1, 1, 1, 1, 0.5, 0.6, 0.7]


def test_a_network_without_an_output_of_the_schema_is_refused_by_name() -> None:
    network = Network(with_body)
    built = network.built(rows(), SETTINGS)

    with pytest.raises(ValueError, match="embedding is missing; name outputs in `build`") as raised:
        network.export(built, rows().inputs, tensors=TENSORS, tolerance={})

    assert "kind_size" in str(raised.value)
