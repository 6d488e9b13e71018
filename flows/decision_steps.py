"""The steps that carry out somebody's word: approve, reject, promote and roll back."""

from flows.hearing import Word
from flows.house import House
from flows.steps import step
from store import promotion
from store.aliases import AliasRecord
from tasks import decide as deciding


@step
def approve(model: str, version: str, *, word: Word, reason: str) -> None:
    """Decide for a version, once and for ever."""
    bucket = House.of(model).bucket
    deciding.approve(bucket, model, version, by=word.by, reason=reason, proved=word.proved)


@step
def reject(model: str, version: str, *, word: Word, reason: str) -> None:
    """Decide against a version, once and for ever."""
    bucket = House.of(model).bucket
    deciding.reject(bucket, model, version, by=word.by, reason=reason, proved=word.proved)


@step
def promote(model: str, version: str, *, over: str | None, word: Word, reason: str) -> AliasRecord:
    """Point the champion at a version, provided nobody else moved it."""
    bucket = House.of(model).bucket
    return promotion.promote(
        bucket, model, version, over=over, by=word.by, reason=reason, proved=word.proved
    )


@step
def roll_back(
    model: str, *, over: str | None, to: str | None, word: Word, reason: str
) -> AliasRecord:
    """Point the champion at what served before."""
    bucket = House.of(model).bucket
    return promotion.roll_back(
        bucket, model, over=over, to=to, by=word.by, reason=reason, proved=word.proved
    )
