"""Published versions that answer rows of their model, each by its own schema."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.store.encoding import encode
from overnight.store.errors import IncomparableVersions, UnencodableValue
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.schema import Schema
from overnight.store.schema_translation import Translation, translation

_BATCH_ROWS = 500


@dataclass(frozen=True)
class ComparableRows:
    """Which of n rows a version can be judged on, [n]; `left_out` says how many not, and why."""

    rows: NDArray[np.bool_]
    left_out: str = ""

    @property
    def all(self) -> bool:
        return not self.left_out


@dataclass(frozen=True)
class PublishedPredictor:
    """The predictor of a published version, and the schema by which it encodes its rows."""

    version: str
    predictor: bytes
    tensors: Schema

    @classmethod
    def of(cls, manifest: Manifest, predictor: bytes) -> Self:
        """The predictor of the version that a manifest describes."""
        return cls(manifest.version, predictor, manifest.tensors)

    def answers(self, definition: ModelDefinition, inputs: Mapping[str, Array]) -> Outputs:
        """All outputs by name for published values of the definition, in its order of classes.

        Raises:
            IncomparableVersions: nothing can be sent for an input or a row, or the answers have no
                common meaning.
        """
        own = self._translation(definition)
        try:
            encoded = encode(self.tensors, own.inputs(inputs))
        except UnencodableValue as error:
            raise IncomparableVersions(str(error)) from None
        return own.outputs(answers(self.predictor, encoded))

    def answerable(self, definition: ModelDefinition, rows: Examples) -> Examples:
        """The rows whose values it knows.

        Raises:
            IncomparableVersions: it can answer no rows of the definition.
        """
        mask = self._translation(definition).answerable(rows.inputs)
        return rows if mask.all() else rows.take(mask)

    def comparable(self, definition: ModelDefinition, rows: Examples) -> ComparableRows:
        """The rows whose values it knows, and whose labels are of classes that it knows.

        Raises:
            IncomparableVersions: there is none, or it can answer no rows of the definition.
        """
        own = self._translation(definition)
        mask = own.answerable(rows.inputs)
        reasons = []
        if not mask.all():
            reasons.append(_why_unanswerable(own, rows, mask))
        judged = own.judged(rows.by_output(definition.tensors.outputs[0].name))
        if judged is not None and not judged.all():
            reasons.append("their classes are new")
            mask = mask & judged
        if not reasons:
            return ComparableRows(mask)
        why = f"{int((~mask).sum()):,} of {rows.n:,} rows are left out: {'; '.join(reasons)}"
        if not mask.any():
            raise IncomparableVersions(why)
        return ComparableRows(mask, why)

    def _translation(self, definition: ModelDefinition) -> Translation:
        return translation(definition.tensors, self.tensors)


def rows_of_both(
    definition: ModelDefinition,
    versions: tuple[PublishedPredictor, PublishedPredictor],
    rows: Examples,
) -> tuple[Examples, str]:
    """The rows that both of two versions can be judged on, and why others are left out.

    Raises:
        IncomparableVersions: there is none, or one can answer no rows of the definition.
    """
    first, second = (version.comparable(definition, rows) for version in versions)
    reasons = "; ".join(
        f"{version.version}: {each.left_out}"
        for version, each in zip(versions, (first, second), strict=True)
        if each.left_out
    )
    mask = first.rows & second.rows
    if not mask.any():
        raise IncomparableVersions(f"no row is left for both: {reasons}")
    return (rows.take(mask) if reasons else rows), reasons


def _why_unanswerable(own: Translation, rows: Examples, mask: NDArray[np.bool_]) -> str:
    try:
        own.inputs(rows.take(~mask).inputs)
    except IncomparableVersions as error:
        return str(error)
    return "the version does not know their values"


def measured_by(
    definition: ModelDefinition, rows: Examples, outputs: Outputs
) -> tuple[Measurement, ...]:
    """The metrics of a version's answers.

    Raises:
        IncomparableVersions: the model's metrics need an output that the version does not have.
    """
    with needed_outputs(definition, outputs):
        return definition.measure(rows, outputs)


@contextmanager
def needed_outputs(definition: ModelDefinition, outputs: Outputs) -> Iterator[None]:
    """Say that an output is missing where the model's metrics look for it.

    Raises:
        IncomparableVersions: naming the output.
    """
    missing = {spec.name for spec in definition.tensors.outputs} - outputs.keys()
    try:
        yield
    except KeyError as error:
        if error.args[:1] and error.args[0] in missing:
            raise IncomparableVersions(
                f"it has no output {error.args[0]!r}, which the metrics need"
            ) from None
        raise


def answers(predictor: bytes, inputs: Mapping[str, Array]) -> Outputs:
    """All outputs of a predictor by name, for n inputs of its network."""
    interpreter = Interpreter(model_content=predictor, num_threads=2)
    runner = interpreter.get_signature_runner()
    n = len(next(iter(inputs.values())))
    # LiteRT allocates its tensors again for every new batch size, so the last batch is padded.
    parts: list[dict[str, Array]] = []
    for start in range(0, n, _BATCH_ROWS):
        rows = np.minimum(np.arange(start, start + _BATCH_ROWS), n - 1)
        parts.append(runner(**{name: array[rows] for name, array in inputs.items()}))
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
