"""The steps that carry out somebody's word: approve, reject, promote and roll back."""

from flows.hearing import Word
from flows.house import House
from flows.steps import step
from store.aliases import AliasRecord
from store.registry.actor import Actor
from store.registry.registry import ModelRegistry


@step
def approve(model: str, version: str, *, word: Word, reason: str) -> None:
    """Decide for a version, once and for ever."""
    bucket = House.of(model).bucket
    ModelRegistry(bucket, model).decide(
        version, "approved", Actor(word.by, reason, authenticated=word.proved)
    )


@step
def reject(model: str, version: str, *, word: Word, reason: str) -> None:
    """Decide against a version, once and for ever."""
    bucket = House.of(model).bucket
    ModelRegistry(bucket, model).decide(
        version, "rejected", Actor(word.by, reason, authenticated=word.proved)
    )


@step
def promote(model: str, version: str, *, over: str | None, word: Word, reason: str) -> AliasRecord:
    """Point the champion at a version, provided nobody else moved it."""
    bucket = House.of(model).bucket
    return ModelRegistry(bucket, model).promote(
        version, expected=over, actor=Actor(word.by, reason, authenticated=word.proved)
    )


@step
def roll_back(
    model: str, *, over: str | None, to: str | None, word: Word, reason: str
) -> AliasRecord:
    """Point the champion at what served before."""
    bucket = House.of(model).bucket
    return ModelRegistry(bucket, model).roll_back(
        expected=over, to=to, actor=Actor(word.by, reason, authenticated=word.proved)
    )
