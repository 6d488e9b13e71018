"""Which inputs the champions of a model took over time, for clients that send earlier ones."""

from collections.abc import Iterable

from overnight.serving.inference.signatures import Signature
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.values import Value

# Signatures change with the model's code, a few times a year. Each costs a few hundred bytes.
REMEMBERED_ERAS = 16


class InputEra(Value):
    """Champions that took the same inputs: the `first` of them, and the record of the `last`."""

    inputs: Signature
    first: str
    last: AliasRecord

    @property
    def version(self) -> str:
        """The version that answers requests with these inputs."""
        return self.last.version


def merged(
    known: Iterable[InputEra], promoted: Iterable[tuple[AliasRecord, Signature]]
) -> tuple[InputEra, ...]:
    """The eras, newest first, with what was promoted since; both newest first.

    What is known stays, so that a signature outlives the records and versions it was read from.
    """
    eras: dict[Signature, InputEra] = {}
    for era in (*_eras_of(promoted), *known):
        same = eras.get(era.inputs)
        if same is None:
            eras[era.inputs] = era
        else:
            last = max(same.last, era.last, key=lambda record: record.at)
            first = min(same.first, era.first)
            eras[era.inputs] = InputEra(inputs=era.inputs, first=first, last=last)
    newest = sorted(eras.values(), key=lambda era: era.last.at, reverse=True)
    return tuple(newest[:REMEMBERED_ERAS])


def _eras_of(promoted: Iterable[tuple[AliasRecord, Signature]]) -> list[InputEra]:
    return [
        InputEra(inputs=inputs, first=record.version, last=record) for record, inputs in promoted
    ]
