"""Requests whose inputs the champion does not take, but an earlier version did.

Pure decisions: what may be ignored, which version answers, and what to tell the client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overnight.serving.history.input_eras import InputEra
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array, Predictor
from overnight.serving.inference.signatures import (
    InputSignature,
    Sent,
    Signature,
    fits,
    signature_of,
)
from overnight.store.registry.manifest import Manifest

_NAMED = 3


@dataclass(frozen=True)
class WithoutInputs:
    """A version for a client that still sends inputs which it no longer has."""

    loaded: ModelVersion
    ignored: frozenset[str]

    @property
    def predictor(self) -> Predictor:
        return self.loaded.predictor

    @property
    def manifest(self) -> Manifest:
        return self.loaded.manifest

    @property
    def version(self) -> str:
        return self.loaded.version

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Answer as the version itself does."""
        return self.loaded.predict(inputs, outputs)


def current_signature(version: ModelVersion) -> Signature:
    """What the version takes."""
    return signature_of(version.predictor.inputs)


def ignorable(sent: Sent, current: Signature, eras: Sequence[InputEra]) -> frozenset[str]:
    """The names that may be ignored so that the current version answers; empty if it cannot.

    Only inputs that an earlier version had: any other name may be a slip of the pen.
    """
    extra = sent.keys() - {known.name for known in current}
    had = {known.name for era in eras for known in era.inputs}
    rest = {name: each for name, each in sent.items() if name not in extra}
    return frozenset(extra) if extra <= had and fits(rest, current) else frozenset()


def answering(sent: Sent, current: Signature, eras: Sequence[InputEra]) -> InputEra | None:
    """The newest earlier era whose versions take exactly these inputs."""
    return next((era for era in eras if era.inputs != current and fits(sent, era.inputs)), None)


def changes(sent: Sent, current: Signature, eras: Sequence[InputEra]) -> str:
    """What changed since such inputs could be sent, as far as it is known; at most three inputs."""
    oldest_first = sorted(eras, key=lambda era: era.first)
    now = {known.name: known for known in current}
    needed = [known for known in current if not known.optional]
    lines = [_came(known, oldest_first) for known in needed if known.name not in sent]
    lines += [_went(name, oldest_first) for name in sent if name not in now]
    lines += [
        _became(now[name], oldest_first)
        for name in now
        if name in sent and not fits({name: sent[name]}, (now[name],))
    ]
    return "; ".join([line for line in lines if line][:_NAMED])


def _came(known: InputSignature, eras: Sequence[InputEra]) -> str:
    """Since when an input is there; nothing where it always was, as far as is known."""
    has = [any(each.name == known.name for each in era.inputs) for era in eras]
    if True not in has or all(has[: has.index(True) + 1]):
        return ""
    return f"input {known.name!r} came with version {eras[has.index(True)].first}: send it"


def _went(name: str, eras: Sequence[InputEra]) -> str:
    """Until when there was an input; nothing where there never was, as far as is known."""
    had = [era for era in eras if any(each.name == name for each in era.inputs)]
    if not had:
        return ""
    last = max(had, key=lambda era: era.last.at)
    return f"input {name!r} went after version {last.version}: leave it out"


def _became(known: InputSignature, eras: Sequence[InputEra]) -> str:
    """Since when an input has its datatype and shape."""
    first = next((era for era in eras if known in era.inputs), None)
    if first is None or first is eras[0]:
        return ""
    return f"input {known.name!r} is {known.shown()} since version {first.first}: send that"
