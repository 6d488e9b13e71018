"""The end of a run: its card, and the state that has its outcome."""

from dataclasses import replace
from typing import Literal

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from overnight.flows.errors import NotAuthorized
from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import end
from overnight.flows.steps import training
from overnight.flows.steps.tracking import track_run
from overnight.store.errors import (
    AlreadyDecided,
    OvernightError,
    PromotionConflict,
    Unauthenticated,
)
from overnight.store.registry.alias_record import AliasRecord
from overnight.tasks.outcomes import Outcome
from overnight.tasks.reporting.report import RunReport, render

_NOTHING_DONE = {"UpToDate", "NothingNew"}


def finish(context: ModelContext, report: RunReport, outcome: Outcome, message: str) -> State:
    """Publish the card of the run, and return its state."""
    if report.ingested is not None and (again := ", ".join(report.ingested.skipped)):
        message = f"{message}; ingested or refused before under this name: {again}"
    if report.ingested is not None and (notices := report.ingested.notices):
        more = f" and {len(notices) - 1} more" if len(notices) > 1 else ""
        message = f"{message}; {notices[0]}{more}"
    if report.ingested is not None and (failure := report.ingested.source_failure):
        message = f"{message}; the source gave nothing: {failure}"
        # The run did all else; but nobody would look into a green one that had nothing to do.
        outcome = "SourceFailed" if outcome in _NOTHING_DONE else outcome
    if report.unwatched:
        message = f"{message}; {report.unwatched}"
    links = {"Serving": context.settings.answers_url}
    if flow_run.ui_url:
        links["This run"] = str(flow_run.ui_url)
    made_by = report.manifest.run if report.manifest is not None else None
    if made_by is not None and made_by.url and made_by.id != str(flow_run.id):
        links["The run that made this version"] = made_by.url
    if report.manifest is not None and "report.html" in report.manifest.files:
        path = f"api/models/{report.model}/versions/{report.manifest.version}/report"
        links["The report of this version"] = f"{context.settings.answers_url}/{path}"

    def card() -> str:
        linked = replace(report, links=links)
        return render(linked, context.definition, headline=outcome, message=message)

    # MLflow gets the card, and the card that Prefect shows links to the run at MLflow.
    links = track_run(context, report, outcome, message, card(), links)
    create_markdown_artifact(
        markdown=card(), key=f"{report.model}-{flow_run.flow_name}", description=message[:200]
    )
    return end(outcome, message)


def finish_unfulfilled(context: ModelContext, report: RunReport, error: OvernightError) -> State:
    """End a run whose request cannot be carried out, by the error that says why.

    Grey where the request itself was wrong, and green where somebody else was faster.
    """
    if isinstance(error, Unauthenticated | NotAuthorized):
        return finish(context, report, "Denied", str(error))
    superseded = isinstance(error, PromotionConflict | AlreadyDecided)
    return finish(context, report, "Superseded" if superseded else "InvalidRequest", str(error))


def await_confirmation(
    context: ModelContext,
    report: RunReport,
    record: AliasRecord,
    outcome: Literal["Promoted", "RolledBack"],
) -> State:
    """Wait for the acknowledgements of the replicas, and finish accordingly."""
    confirmation = training.confirm(context, record)
    message = str(confirmation)
    report = replace(report, confirmation=message)
    if confirmation.confirmed:
        return finish(context, report, outcome, message)
    if confirmation.superseded_by:
        return finish(context, report, "Superseded", message)
    # An undone promotion changed nothing; after an undone rollback the bad version serves again.
    undone = confirmation.rolled_back_to is not None and outcome == "Promoted"
    return finish(context, report, "RolledBack" if undone else "Unconfirmed", message)
