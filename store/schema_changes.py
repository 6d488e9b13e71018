"""What changed between the schemas of two versions, in words for people and clients."""

from collections.abc import Iterator, Sequence

from overnight.store.schema import Schema, TensorSpec
from overnight.store.schema_translation import labels_of

_SHOWN = 5


def schema_changes(before: Schema, after: Schema) -> tuple[str, ...]:
    """Each difference in inputs, outputs and classes; none where clients see no difference."""
    return (
        *_tensor_changes("input", before.inputs, after.inputs),
        *_tensor_changes("output", before.outputs, after.outputs),
        *_label_changes(before, after),
    )


def _tensor_changes(
    kind: str, before: Sequence[TensorSpec], after: Sequence[TensorSpec]
) -> Iterator[str]:
    then, now = ({spec.name: spec for spec in specs} for specs in (before, after))
    for name, spec in now.items():
        if name not in then:
            default = f", {spec.default!r} where it is absent" if spec.default is not None else ""
            yield f"new {kind} {name}, {_form(spec)}{default}"
        elif changed := "; ".join(_spec_changes(then[name], spec)):
            yield f"{kind} {name}: {changed}"
    for name in then:
        if name not in now:
            yield f"no {kind} {name} any more"
    if kind == "output" and before[0].name != after[0].name and after[0].name in then:
        yield f"the first output is {after[0].name}, it was {before[0].name}"


def _spec_changes(then: TensorSpec, now: TensorSpec) -> Iterator[str]:
    if _form(then) != _form(now):
        yield f"{_form(now)}, it was {_form(then)}"
    if then.vocabulary != now.vocabulary:
        yield _list_changes("categories", then.vocabulary, now.vocabulary)
    if then.otherwise != now.otherwise:
        names = [spec.otherwise or "nothing" for spec in (now, then)]
        yield f"{names[0]} stands for others, it was {names[1]}"
    if then.text != now.text:
        yield "other pieces of texts"
    if then.accepts_missing != now.accepts_missing:
        yield f"values {'may' if now.accepts_missing else 'must not'} be missing"
    if then.default != now.default:
        yield f"{now.default!r} where it is absent, it was {then.default!r}"


def _label_changes(before: Schema, after: Schema) -> Iterator[str]:
    then = {spec.name: labels_of(before, spec) for spec in before.outputs}
    for spec in after.outputs:
        if spec.name in then and then[spec.name] != (labels := labels_of(after, spec)):
            yield f"output {spec.name}: {_list_changes('classes', then[spec.name], labels)}"


def _list_changes(what: str, then: Sequence[str], now: Sequence[str]) -> str:
    came = [name for name in now if name not in then]
    gone = [name for name in then if name not in now]
    parts = [f"new {what} {_named(came)}"] if came else []
    parts += [f"no {what} {_named(gone)} any more"] if gone else []
    return ", ".join(parts) or f"{what} in another order"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _form(spec: TensorSpec) -> str:
    return f"{spec.datatype} {spec.v2_shape[1:]}"
