"""A person's word about data that waits: learn from it, or leave it out."""

from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate
from overnight.flows.run.parameters import ModelName
from overnight.flows.steps import data
from overnight.flows.steps.finish import finish
from overnight.store.errors import Unauthenticated
from overnight.tasks.reporting.report import RunReport

Decision = Literal["accept", "exclude"]


@flow(name="accept", persist_result=False)
def accept(
    arrival: str,
    model: ModelName,
    decision: Decision = "accept",
    by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Decide about an arrival that differs from what the champion learned, or about any other.

    The next night goes on after it. What was said stays on record, and the last word counts.

    Args:
        arrival: The arrival, as the card of its run and `overnight status` name it.
        model: The model it belongs to.
        decision: accept: the difference is genuine, learn from it.
            exclude: leave it out of every snapshot from now on.
        by: Who decides.
        reason: Why, for the record.
        proof: Who it is; `overnight accept` fills it in. Empty, the name above is only claimed,
            and refused where people decide and any token is known, as after `overnight up`.
    """
    verdict: Literal["accepted", "excluded"] = "accepted" if decision == "accept" else "excluded"
    context, story = ModelContext.open(model), RunReport(model=model)
    said = {"arrival": arrival, "decision": decision, "reason": reason}
    try:
        actor = authenticate(context, "accept", by=by, proof=proof, said=said, verb=decision)
    except Unauthenticated as unknown:
        return finish(context, story, "Refused", str(unknown))
    kept = data.decide(context, arrival, verdict, actor)
    message = f"{arrival} is {kept.verdict} by {kept.by}: {kept.reason}; the next night goes on"
    return finish(context, story, "Accepted" if decision == "accept" else "Excluded", message)
