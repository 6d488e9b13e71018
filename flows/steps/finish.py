"""How a run ends: green and named when nobody needs to act, with one card that tells its story."""

from dataclasses import replace
from typing import Literal

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from overnight.flows.run.context import ModelContext
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.steps import training
from overnight.flows.steps.tracking import tracked
from overnight.store.registry.aliases import AliasRecord
from overnight.tasks.reporting.report import RunReport, render

Name = Literal[
    "Promoted",
    "UpToDate",
    "NothingNew",
    "Ingested",
    "Accepted",
    "Excluded",
    "Refused",
    "Rejected",
    "AwaitingApproval",
    "Superseded",
    "RolledBack",
    "Challenging",
    "Stopped",
    "Unconfirmed",
    "Reproduced",
    "Differs",
    "Tuned",
    "Kept",
]


def finish(
    context: ModelContext,
    story: RunReport,
    name: Name,
    message: str,
    plan: TrainingPlan | None = None,
) -> State:
    """Leave the card of the run, clear its scratch, and say how it ended."""
    if story.ingested is not None and (again := ", ".join(story.ingested.skipped)):
        message = f"{message}; taken in or refused before under this name: {again}"
    links = {"Serving": context.settings.answers_url}
    if flow_run.ui_url:
        links["This run"] = str(flow_run.ui_url)
    if story.manifest is not None and "report.html" in story.manifest.files:
        where = f"api/models/{story.model}/versions/{story.manifest.version}/report"
        links["The report of this version"] = f"{context.settings.answers_url}/{where}"
    told = render(replace(story, links=links), context.definition, headline=name, message=message)
    if (known := tracked(context, story, name, message, told, links)) != links:
        told = render(
            replace(story, links=known), context.definition, headline=name, message=message
        )
    create_markdown_artifact(
        markdown=told, key=f"{story.model}-{flow_run.flow_name}", description=message[:200]
    )
    if plan is not None:
        training.clear(plan)
    # Nobody confirmed and nobody refused: somebody has to look, so this one is red.
    if name == "Unconfirmed":
        return Failed(name=name, message=message)
    return Completed(name=name, message=message)


def await_confirmation(
    context: ModelContext,
    story: RunReport,
    record: AliasRecord,
    name: Literal["Promoted", "RolledBack"],
    plan: TrainingPlan | None = None,
) -> State:
    """Wait for the replicas, and end by what they say."""
    confirmation = training.confirm(context, record)
    story = replace(story, confirmation=str(confirmation))
    if confirmation.confirmed:
        return finish(context, story, name, str(confirmation), plan)
    if confirmation.superseded_by:
        return finish(context, story, "Superseded", str(confirmation), plan)
    # A promotion that was undone is over; a rollback that was undone left what should not serve.
    undone = confirmation.rolled_back_to is not None and name == "Promoted"
    return finish(
        context, story, "RolledBack" if undone else "Unconfirmed", str(confirmation), plan
    )
