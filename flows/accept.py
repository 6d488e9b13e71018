"""A person's decision about an arrival that waits for review: learn from it, or exclude it."""

from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.errors import UnknownArrival
from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.identity import authenticate
from overnight.flows.run.parameters import ModelName
from overnight.flows.steps import data
from overnight.flows.steps.finish import finish, finish_unfulfilled
from overnight.store.errors import Unauthenticated
from overnight.tasks.reporting.report import RunReport

Decision = Literal["accept", "exclude"]


@flow(name="accept", flow_run_name=run_name, persist_result=False)
def accept(
    arrival: str,
    model: ModelName,
    decision: Decision = "accept",
    requested_by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Decide about an arrival that differs from what the champion learned, or about any other.

    The next run continues with it. Every decision stays on record, and the last one counts.

    Args:
        arrival: The arrival, as the card of its run and `overnight status` name it.
        model: The model it belongs to.
        decision: accept: the difference is genuine, learn from it.
            exclude: leave it out of every snapshot from now on.
        requested_by: The name of the person who decides.
        reason: Why, for the record.
        proof: Authenticates the person; `overnight accept` fills it in. Without it the name above
            is only claimed. A claim is refused for a model with manual approval as soon as any
            token is known, as after `overnight up`.
    """
    verdict: Literal["accepted", "excluded"] = "accepted" if decision == "accept" else "excluded"
    context, report = ModelContext.open(model, "administration"), RunReport(model=model)
    statement = {"arrival": arrival, "decision": decision, "reason": reason}
    try:
        actor = authenticate(
            context,
            "accept",
            requested_by=requested_by,
            proof=proof,
            statement=statement,
            verb=decision,
        )
    except Unauthenticated as error:
        return finish_unfulfilled(context, report, error)
    try:
        review = data.decide(context, arrival, verdict, actor)
    except UnknownArrival as error:
        return finish_unfulfilled(context, report, error)
    message = (
        f"{arrival} is {review.verdict} by {review.by}: {review.reason}; the next run continues"
    )
    return finish(context, report, "Accepted" if decision == "accept" else "Excluded", message)
