"""ImportedRows for an imported network: somebody's CSV files, or generated ones."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from overnight.models.sources.csv_folder import HOLDOUT
from overnight.models.training import export as exporting
from overnight.models.training.description import Description, samples
from overnight.store.errors import ConfigurationError

_LABELS = ("label", "target", "class", "y")
_HOLDOUT_ROWS, _ARRIVAL_ROWS = 120, 240


@dataclass(frozen=True)
class ImportedRows:
    """CSV files by name, and which of their columns are what; `texts`: labels are names."""

    files: Mapping[str, bytes]
    columns: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str] = field(default_factory=dict)
    texts: bool = False


def generate(described: Description) -> ImportedRows:
    """Random rows, whose labels are what the network answers: to try it with, and no more."""
    columns = {spec.name: _numbered(spec.name, math.prod(spec.shape)) for spec in described.inputs}
    labelled = [name for name, kind in described.kinds.items() if kind != "embedding"]
    labels = {name: "label" if len(labelled) == 1 else f"{name}_label" for name in labelled}
    files = {}
    for seed, (file, n) in enumerate(
        ((HOLDOUT, _HOLDOUT_ROWS), ("arrival-0001.csv", _ARRIVAL_ROWS)), 1
    ):
        inputs = samples(described.inputs, n, seed=seed)
        answers = exporting.predict(described.network, inputs)
        parts = [inputs[spec.name].reshape(n, -1) for spec in described.inputs]
        parts += [
            (
                answers[name].argmax(axis=1)
                if described.kinds[name] == "classes"
                else answers[name]
            ).reshape(n, 1)
            for name in labelled
        ]
        header = [*(name for names in columns.values() for name in names), *labels.values()]
        files[file] = _csv(header, parts)
    return ImportedRows(files, columns, labels)


def read(
    folder: Path, described: Description, *, label: Sequence[str], columns: Sequence[str]
) -> ImportedRows:
    """The CSV files of a folder, with the columns of each input and label.

    Raises:
        ConfigurationError: there is no holdout, or it is not known which columns are what.
    """
    paths = sorted(path for path in folder.glob("*.csv") if path.is_file())
    files = {path.name: path.read_bytes() for path in paths}
    if HOLDOUT not in files or len(files) < 2:
        raise ConfigurationError(
            f"--rows: {folder} needs a {HOLDOUT}, whose rows judge every version, and another CSV "
            f"file with rows; found {', '.join(files) or 'no CSV file'}"
        )
    header, first = _first_lines(files[HOLDOUT])
    labels = _label_columns(described, header, label)
    free = [name for name in header if name not in labels.values()]
    texts = any(
        not _is_number(first[header.index(column)])
        for output, column in labels.items()
        if output in described.classes
    )
    if texts and any(
        name == str(n) for names in described.classes.values() for n, name in enumerate(names)
    ):
        raise ConfigurationError(
            "--classes: the labels are names, and it is not known which number of the network each "
            "is; give them in the order of the network's probabilities: --classes no,yes"
        )
    return ImportedRows(files, _input_columns(described, free, columns), labels, texts)


def _first_lines(body: bytes) -> tuple[list[str], list[str]]:
    lines = csv.reader(io.StringIO(body.decode("utf-8-sig")))
    header, first = next(lines, []), next(lines, [])
    if len(first) != len(header) or not header:
        raise ConfigurationError(
            f"--rows: {HOLDOUT} has {len(header)} columns and {len(first)} values in its first "
            "row; expected a header with commas, and rows"
        )
    return header, first


def _label_columns(
    described: Description, header: Sequence[str], label: Sequence[str]
) -> dict[str, str]:
    """The column with the labels of each output that has some."""
    outputs = [name for name, kind in described.kinds.items() if kind != "embedding"]
    given = {}
    for each in label:
        output, _, column = each.rpartition("=")
        given[output or (outputs[0] if outputs else "")] = column
    for output, column in given.items():
        if output not in described.kinds or column not in header:
            raise ConfigurationError(
                f"--label {output}={column}: the outputs are {', '.join(described.kinds)}, and the "
                f"columns {', '.join(header)}; correct one of them"
            )
    for output in outputs:
        guesses = (output, f"{output}_label", *(_LABELS if len(outputs) == 1 else ()))
        guessed = next((guess for guess in guesses if guess in header), None)
        if output not in given and guessed is not None:
            given[output] = guessed
    if missing := [output for output in outputs if output not in given]:
        raise ConfigurationError(
            f"--label: which column has the labels of {', '.join(missing)}? The columns are "
            f"{', '.join(header)}; say --label {missing[0]}=COLUMN"
        )
    return given


def _input_columns(
    described: Description, free: Sequence[str], columns: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    given = {
        name: tuple(listed.split(",")) for name, _, listed in (c.partition("=") for c in columns)
    }
    chosen: dict[str, tuple[str, ...]] = {}
    for spec in described.inputs:
        width = math.prod(spec.shape)
        options = (given.get(spec.name, ()), _numbered(spec.name, width), (spec.name,))
        # A network with one input takes the columns in their order.
        everything = tuple(free) if len(described.inputs) == 1 else ()
        fitting = [o for o in (*options, everything) if len(o) == width and {*o} <= {*free}]
        if not fitting or (spec.name in given and fitting[0] != given[spec.name]):
            raise ConfigurationError(
                f"--columns: which {width:,} columns are the input {spec.name!r}? There are "
                f"{', '.join(free)}; say --columns {spec.name}=COLUMN,COLUMN,…"
            )
        chosen[spec.name] = fitting[0]
    return chosen


def _numbered(name: str, width: int) -> tuple[str, ...]:
    """The columns of a tensor: its name, or that with a number for each of its numbers."""
    if width == 1:
        return (name,)
    digits = len(str(width - 1))
    return tuple(f"{name}_{place:0{digits}d}" for place in range(width))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv(header: Sequence[str], parts: Sequence[np.ndarray]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    lists = [part.tolist() for part in parts]
    writer.writerows([value for part in row for value in part] for row in zip(*lists, strict=True))
    return text.getvalue().encode()
