"""Which inputs a request sends, and whether they are those that a version takes.

A signature is all that clients have to know of a version's inputs: names, datatypes and shapes.
What a request sends is compared with one only after it could not be decoded.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from overnight.store.schema import Datatype, TensorSpec
from overnight.store.values import Value

# The name of an input that was sent without one, as v1 allows for models with a single input.
ONLY = ""
# A request with more tensors than any model has is compared with no signature.
MOST_INPUTS = 1_000
_MOST_AXES = 8
TEXTS = "BYTES"


class InputSignature(Value):
    """One input as clients see it; `shape` is that of a row, and its first axis may vary.

    `optional`: it has a default. `takes_texts`: its values may be sent as BYTES, too.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    optional: bool = False
    takes_texts: bool = False
    varies: bool = False

    @classmethod
    def of(cls, spec: TensorSpec) -> "InputSignature":
        """The signature of a declared input."""
        return cls(
            name=spec.name,
            datatype=spec.datatype,
            shape=spec.shape,
            optional=spec.default is not None,
            takes_texts=spec.accepts_text or spec.takes_pictures,
            varies=bool(spec.lengths),
        )

    def shown(self) -> str:
        """Datatype and shape, such as `FP32 [4]`."""
        return f"{self.datatype} {list(self.shape)}"


class SentInput(NamedTuple):
    """Datatype and shape of a row as a request has them; None where its protocol says neither."""

    datatype: str | None = None
    shape: tuple[int, ...] | None = None


Sent = Mapping[str, SentInput]
Signature = tuple[InputSignature, ...]


def signature_of(specs: Iterable[TensorSpec]) -> Signature:
    """The signature of a version with these inputs."""
    return tuple(InputSignature.of(spec) for spec in specs)


def fits(sent: Sent, signature: Signature) -> bool:
    """Whether a request sends what a version takes: every input that has no default, and no other.

    The values are not compared, only what they are declared as.
    """
    if sent.keys() == {ONLY}:
        return len(signature) == 1 and _is_like(sent[ONLY], signature[0])
    names = {known.name for known in signature}
    needed = {known.name for known in signature if not known.optional}
    if not sent or not needed <= sent.keys() <= names:
        return False
    return all(_is_like(sent[known.name], known) for known in signature if known.name in sent)


def _is_like(sent: SentInput, known: InputSignature) -> bool:
    is_text = sent.datatype == TEXTS and known.takes_texts
    if sent.datatype is not None and sent.datatype != known.datatype and not is_text:
        return False
    if sent.shape is None or sent.shape == known.shape or (is_text and sent.shape in {(), (1,)}):
        return True
    # Single values may be sent as a column.
    if sent.shape == (1,) and known.shape == ():
        return True
    within = sent.shape[:1] <= known.shape[:1]
    return known.varies and within and sent.shape[1:] == known.shape[1:]


def sent_tensors(tensors: Iterable[Mapping[str, Any]]) -> Sent:
    """What a v2 request sends; nothing where it is malformed."""
    sent: dict[str, SentInput] = {}
    for tensor in tensors:
        name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
        if not isinstance(name, str) or not isinstance(datatype, str) or name in sent:
            return {}
        if not isinstance(shape, list) or not all(type(side) is int for side in shape):
            return {}
        sent[name] = SentInput(datatype, tuple(shape[1:]))
        if len(sent) > MOST_INPUTS:
            return {}
    return sent


def sent_rows(row: object) -> Sent:
    """What a v1 request sends, by one of its rows: an object by name, or a bare value."""
    if not isinstance(row, dict) or row.keys() == {"b64"}:
        return {ONLY: SentInput(shape=_nested_shape(row))}
    if len(row) > MOST_INPUTS:
        return {}
    return {name: SentInput(shape=_nested_shape(value)) for name, value in row.items()}


def sent_columns(columns: object) -> Sent:
    """What a v1 request sends by column: an object by name, or the rows of the only input."""
    if isinstance(columns, list):
        return sent_rows(columns[0]) if columns and not isinstance(columns[0], dict) else {}
    if not isinstance(columns, dict) or len(columns) > MOST_INPUTS:
        return {}
    first = {name: rows[0] for name, rows in columns.items() if isinstance(rows, list) and rows}
    return {name: SentInput(shape=_nested_shape(value)) for name, value in first.items()}


def _nested_shape(value: object) -> tuple[int, ...] | None:
    """The lengths of nested lists, along their first elements; None of what may be anything."""
    if value is None or isinstance(value, dict):
        return None
    shape: list[int] = []
    while isinstance(value, list) and len(shape) < _MOST_AXES:
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)
