"""An existing network becomes a model that is served as it is, and trained on when it may be."""

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from overnight import models
from overnight.cli.actions.imports.import_model import import_model
from overnight.cli.actions.imports.rows import read
from overnight.cli.main import app
from overnight.flows.retrain import retrain
from overnight.infra.settings import load
from overnight.models.errors import UnusableNetwork
from overnight.models.training.description import Description
from overnight.models.training.export import predict
from overnight.serving.inference.loaded_version import load_version
from overnight.store import project as projects
from overnight.store.errors import ConfigurationError
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import TensorSpec
from overnight.tasks.training.train import train
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import outcome
from tests.support.signing_keys import alias_log

pytestmark = [
    pytest.mark.training,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
LAYERS = '''"""Layers of somebody's own."""

import keras


class Doubled(keras.layers.Layer):
    """Twice its input."""

    def call(self, inputs):
        """Twice the inputs."""
        return inputs * 2
'''
ROWS = np.random.default_rng(5).normal(size=(8, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty project as the current folder, with a file of layers."""
    before, path = projects.current(), list(sys.path)
    folder = tmp_path / "project"
    (folder / "kiosk").mkdir(parents=True)
    (folder / "kiosk" / "__init__.py").write_text('"""Models of the kiosk."""\n')
    (folder / "overnight.toml").touch()
    (folder / "own.py").write_text(LAYERS)
    monkeypatch.delenv("OVERNIGHT_HOME", raising=False)
    monkeypatch.chdir(folder)
    layers = dict(keras.saving.get_custom_objects())
    yield folder
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(layers)
    projects.use(before)
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] in {"kiosk", "own"}]:
        del sys.modules[name]


def network(*, own: bool = False) -> keras.Model:
    """From three numbers, whose name no exporter takes, to two classes."""
    keras.utils.set_random_seed(3)
    x = keras.Input((3,), name="the numbers")
    layer = keras.layers.Rescaling(2.0)
    if own:
        scope: dict[str, type] = {"__name__": "own"}
        exec(LAYERS, scope)  # noqa: S102 - the class as the module of the project defines it
        layer = scope["Doubled"]()
    hidden = keras.layers.Dense(8, activation="relu", name="body")(layer(x))
    return keras.Model(x, keras.layers.Dense(2, activation="softmax", name="kind")(hidden))


def imported(file: str, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["import-model", file, "churn", *arguments])
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def declared(module: str, old: str, new: str) -> None:
    """Edit a module of the imported model, as its owner would."""
    path = Path("kiosk/churn") / module
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    for name in [name for name in sys.modules if name.startswith("kiosk")]:
        del sys.modules[name]


@pytest.mark.servers
def test_a_network_is_served_as_it_is_and_trained_on_from_its_weights_when_it_has_losses(
    flow_environment: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = network(own=True)
    original.save("churn.keras")
    output = imported("churn.keras", "--layers", "own.py")
    assert re.search(r"the numbers is the_numbers .*cannot be exported", output)

    first = retrain(model="churn", return_state=True)

    # Then its own weights are the version, which serving answers with.
    assert outcome(first) == "Promoted", first.message
    registry = ModelRegistry(flow_environment.bucket, "churn")
    version = alias_log(flow_environment.bucket, "churn").current().version
    manifest = registry.manifest(version)
    assert manifest.training.as_it_is
    assert manifest.training.epochs == 0
    assert "kiosk/churn/imported.keras" in manifest.code.files
    files = {name: registry.read_file(manifest, name) for name in manifest.files}
    predictor = load_version(manifest, files, threads=1)
    served = predictor.predict({"the_numbers": ROWS}, ["kind"])["kind"]
    assert served == pytest.approx(original.predict(ROWS, verbose=0), abs=0.02)

    # When rows arrive that it does not learn from, then there is no other version.
    rows = Path("rows/churn/arrival-0001.csv").read_text().splitlines()
    Path("rows/churn/arrival-0002.csv").write_text(
        "\n".join([rows[0], *(f"{n / 7:.3f},{n},0,1" for n in range(20))])
    )
    assert outcome(retrain(model="churn", return_state=True)) == "UpToDate"

    # When it gets losses and settings, then it is trained on from these weights.
    declared(
        "network.py",
        "NETWORK = Network(build)",
        ('NETWORK = Network(build, losses={"kind": "sparse_categorical_crossentropy"})'),
    )
    declared("__init__.py", "AS_IT_IS,\n    AtLeast", "AtLeast")
    declared("__init__.py", "TensorSpec,\n", "TensorSpec,\n    TrainingSettings,\n")
    declared(
        "__init__.py",
        "settings=AS_IT_IS",
        (
            "settings=TrainingSettings(epochs=1, batch_rows=64, learning_rate=1e-4, seed=1, "
            "validation_share=0.2, patience_epochs=1)"
        ),
    )
    assert outcome(retrain(model="churn", return_state=True)) == "Promoted"
    version = alias_log(flow_environment.bucket, "churn").current().version
    trained = registry.manifest(version)
    assert not trained.training.as_it_is
    assert trained.training.epochs == 1
    files = {name: registry.read_file(trained, name) for name in trained.files}
    answered = load_version(trained, files, threads=1).predict({"the_numbers": ROWS}, ["kind"])
    # A few small steps from the imported weights, and not from random ones.
    assert answered["kind"] == pytest.approx(served, abs=0.05)
    assert (answered["kind"] != served).any()


def test_a_saved_model_is_exported_with_its_weights_and_names(tmp_path: Path) -> None:
    inner = network()
    x = keras.Input((3,), name="numbers")
    keras.Model(x, inner(x)).export("exported", verbose=False)
    imported("exported", "--rename", "output_0=kind")
    load()
    definition = models.find("churn")
    source = definition.open_source(models.definition.Places(Path("rows/churn"), tmp_path))
    rows = definition.examples(source.holdout())

    candidate = train(
        definition,
        definition.settings,
        fingerprint="0" * 64,
        training=rows,
        holdout=rows,
        folder=tmp_path / "fit",
        seconds=300,
        report=lambda _progress: None,
    )

    with np.load(tmp_path / "fit" / "predictions.npz") as answers:
        expected = inner.predict(rows.inputs["numbers"], verbose=0)
        assert answers["kind"] == pytest.approx(expected, abs=1e-5)
    assert candidate.fitted.as_it_is
    # The generated labels are what the network answers.
    assert (rows.labels == expected.argmax(axis=1)).all()


def test_several_outputs_are_each_of_their_kind_and_rows_are_somebodys_own(project: Path) -> None:
    x = keras.Input((3,), name="x")
    body = keras.layers.Dense(4, name="body")(x)
    kind = keras.layers.Dense(2, activation="softmax", name="kind")(body)
    price = keras.layers.Dense(1, name="price")(body)
    keras.Model(x, [body, kind, price]).save("several.keras")
    (project / "mine").mkdir()
    for name in ("holdout.csv", "june.csv"):
        lines = [f"{n},{n / 3},{n % 7},{('no', 'yes')[n % 2]},{n * 2}" for n in range(40)]
        (project / "mine" / name).write_text("\n".join(["a,b,c,kind,price", *lines]) + "\n")

    imported("several.keras", "--rows", "mine", "--classes", "no,yes")

    load()
    definition = models.find("churn")
    outputs = {
        spec.name: (spec.shape, definition.tensors.classes(spec.name))
        for spec in definition.tensors.outputs
    }
    assert outputs == {"kind": ((2,), ("no", "yes")), "price": ((), ()), "body": ((4,), ())}
    assert definition.tolerance["body"].cosine == 0.001
    source = definition.open_source(models.definition.Places(project / "rows/churn", project))
    rows = definition.examples(source.holdout())
    assert rows.inputs["x"][4].tolist() == [4, np.float32(4 / 3), 4]
    assert rows.labels_of("kind")[:4].tolist() == [0, 1, 0, 1]
    assert rows.labels_of("price")[3] == 6


@pytest.mark.parametrize(
    ("made", "arguments", "problem"),
    [
        (
            lambda: lambda_network().save("own.keras"),
            {},
            r"the Lambda layer 'twice' is Python code inside the file, which is never run; replace",
        ),
        (
            lambda: network(own=True).save("own.keras"),
            {},
            "layers that are not Keras' own; name the module that defines Doubled by --layers",
        ),
        (lambda: Path("own.keras").write_bytes(b"PK"), {}, r"neither a \.keras file nor .*save it"),
        (lambda: nested_too_deeply(Path("own.keras")), {}, r"neither a \.keras file nor .*save it"),
        (lambda: None, {}, "there is no such file; correct the path"),
        (
            lambda: Path("own.keras").mkdir(),
            {},
            "the folder has no saved_model.pb; name the folder",
        ),
        (
            lambda: variable_network().save("own.keras"),
            {},
            r"its input 'x' has the shape \[None, None\]; expected any number of rows",
        ),
        (
            lambda: network().save("own.keras"),
            {"rename": {"numbers": "x"}},
            "--rename: the network has no numbers; its inputs are the numbers and its outputs kind",
        ),
        (
            lambda: network().save("own.keras"),
            {"classes": ("a", "b", "c")},
            "--classes: 3 names, and kind has 2; name each class once",
        ),
        (
            lambda: network().save("own.keras"),
            {"layers": "kiosk.nowhere"},
            "--layers: the module kiosk.nowhere cannot be imported",
        ),
    ],
)
def test_what_cannot_be_imported_is_refused_with_a_remedy_and_nothing_is_written(
    project: Path, made, arguments, problem: str
) -> None:
    made()

    with pytest.raises((UnusableNetwork, ConfigurationError), match=problem):
        import_model(Path("own.keras"), "churn", **arguments)

    assert not (project / "kiosk" / "churn").exists()


def lambda_network() -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Lambda(lambda values: values * 2, name="twice")(x))


def nested_too_deeply(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[" * 100_000 + "]" * 100_000)


def variable_network() -> keras.Model:
    x = keras.Input((None,), name="x")
    return keras.Model(x, keras.layers.Rescaling(2.0)(x))


@pytest.mark.parametrize(
    ("header", "arguments", "problem"),
    [
        ("a,b,label", {}, "which 3 columns are the input 'the_numbers'? There are a, b; say --col"),
        ("a,b,c,d", {}, "which column has the labels of kind? The columns are a, b, c, d; say"),
        ("a,b,c,d", {"label": ("e",)}, "--label kind=e: the outputs are kind, and the columns a"),
        ("a,b,c,label", {"columns": ("the_numbers=a,b,d",)}, "which 3 columns are the input"),
    ],
)
def test_columns_that_cannot_be_guessed_are_asked_for(
    project: Path, header: str, arguments, problem: str
) -> None:
    values = ",".join("1" for _ in header.split(","))
    for name in ("holdout.csv", "june.csv"):
        (project / name).write_text(f"{header}\n{values}\n")
    described = Description(
        network=None,
        inputs=(TensorSpec(name="the_numbers", datatype="FP32", shape=(3,)),),
        outputs=(TensorSpec(name="kind", datatype="FP32", shape=(2,)),),
        kinds={"kind": "classes"},
        classes={"kind": ("0", "1")},
        spreads={},
        size_bytes=1,
    )

    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        read(project, described, **({"label": (), "columns": ()} | arguments))


def test_a_graph_that_writes_files_is_refused_before_it_is_loaded() -> None:
    import tensorflow as tf

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
        def __call__(self, x):
            tf.io.write_file("leak.txt", tf.strings.as_string(x[0, 0]))
            return {"y": x}

    writer = Writer()
    tf.saved_model.save(writer, "writer", signatures={"serving_default": writer.__call__})

    with pytest.raises(UnusableNetwork, match="its graph has WriteFile, which reach out of it"):
        import_model(Path("writer"), "churn")


def test_a_saved_model_learns_and_keeps_what_it_learned(tmp_path: Path) -> None:
    from overnight.models.training.export import load as load_network
    from overnight.models.training.imported import imported as network_of

    keras.Model(x := keras.Input((3,), name="numbers"), network()(x)).export(
        "exported", verbose=False
    )
    learner = network_of(Path("exported"), outputs={"output_0": "kind"})
    before = predict(learner, {"numbers": ROWS})["kind"]
    for weight in learner.trainable_variables:
        weight.assign(weight * 0.5)
    after = predict(learner, {"numbers": ROWS})["kind"]
    learner.save(tmp_path / "learned.keras")

    again = predict(load_network(tmp_path / "learned.keras"), {"numbers": ROWS})["kind"]

    assert np.abs(after - before).max() > 0.01
    assert (again == after).all()
