"""Back to what served before, by one more record."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from flows import decision_steps, steps
from flows.ending import end, settle
from flows.hearing import for_people, word_of
from flows.house import House
from flows.parameters import ModelName, Version
from store.errors import NotProved, PromotionConflict
from store.registry.registry import ModelRegistry
from store.request_proof import Plain
from tasks.report import Story


@flow(name="rollback", persist_result=False)
def rollback(
    model: ModelName,
    to: Version | None = None,
    by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Point the champion back at what served before the current version.

    Args:
        model: The model to roll back.
        to: An approved version to go back to; empty for what the current one replaced.
        by: Who rolls back.
        reason: Why, for the record.
        proof: Who it is; `overnight rollback` fills it in. Empty, the name above is only claimed,
            and refused where people decide and any token is known, as after `overnight up`.
    """
    story = Story(model=model, champion=steps.champion(model))
    house = House.of(model)
    manual = to is not None and for_people(house, to)
    said: dict[str, Plain] = {"to": to, "reason": reason}
    try:
        word = word_of(house, "rollback", by=by, proof=proof, said=said, manual=manual)
        told = reason or f"rolled back by {word.by}"
        record = decision_steps.roll_back(model, over=story.champion, to=to, word=word, reason=told)
    except NotProved as unknown:
        return end(story, "Refused", str(unknown))
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict))
    manifest = ModelRegistry(house.bucket, model).manifest(record.version)
    return settle(replace(story, manifest=manifest), record, "RolledBack")
