"""Ingest arrivals without training."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.parameters import ModelName
from overnight.flows.run.run_records import HOOKS
from overnight.flows.steps import data, feedback, scoring
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.tasks.reporting.report import RunReport


@flow(name="ingest", flow_run_name=run_name, persist_result=False, **HOOKS)
def ingest(model: ModelName = "digits") -> State:
    """Ingest the files that wait in the landing, or the source's next arrival when none do.

    Each arrival is ingested exactly once. Corrupt files are put into quarantine with a reason,
    duplicates are dropped, and rows of the holdout are kept out.

    Args:
        model: The model whose dataset grows.
    """
    context = ModelContext.open(model)
    feedback.land_feedback(context)
    ingested = data.ingest(context, take_next=True)
    report = RunReport(model=model, ingested=ingested)
    if not ingested.arrivals and ingested.findings:
        message = "; ".join(f"{finding.slice}: {finding.message}" for finding in ingested.findings)
        return finish(context, report, "Refused", message)
    if not ingested.arrivals:
        return finish(context, report, "NothingNew", "nothing waits and the source has nothing new")
    # When the first arrival of all was refused, there is no table to take a snapshot of.
    if ingested.dataset_version is not None:
        snapshot = step(context.snapshot)()
        feedback.label_answers(context, snapshot)
        scores = scoring.score(context, step(context.registry.champion_version)(), snapshot)
        report = replace(report, data=snapshot.lineage, scores=scores)
    quarantined = len(ingested.quarantined)
    message = f"{ingested.rows_added:,} rows added, {quarantined} files quarantined"
    return finish(context, report, "Ingested", message)
