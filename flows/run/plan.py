"""What a run is about to do, told before anything heavy is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from overnight.flows.errors import NotAuthorized
from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate
from overnight.flows.run.parameters import Approval, Begin, Policy
from overnight.models.definition import TrainingSettings
from overnight.store.errors import ConfigurationError
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import (
    CodeLineage,
    EnvironmentLineage,
    Finding,
    Override,
    RunLineage,
)
from overnight.store.trust.request_proof import Plain
from overnight.tasks.data.signature import check_tensors
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.evaluation.explain import Axis, Present, explain
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.training import lineage


@dataclass(frozen=True)
class TrainingPlan:
    """What a run is about to do, and everything that could change its outcome."""

    context: ModelContext
    settings: TrainingSettings
    champion: str | None
    warm: bool
    forced: bool
    snapshot: Snapshot
    code: CodeLineage
    environment: EnvironmentLineage
    fingerprint: str
    run: RunLineage
    folder: Path
    data_findings: tuple[Finding, ...] = ()

    @property
    def model(self) -> str:
        return self.context.model

    def actor(self, reason: str) -> Actor:
        """Whoever asked for the run; their own reason follows that of the run."""
        reason = "; ".join(part for part in (reason, self.run.why) if part)
        return Actor(self.run.by, reason, self.run.proved)


def make_plan(
    context: ModelContext,
    story: RunReport,
    snapshot: Snapshot,
    changed: Mapping[str, float | int | None],
    *,
    run: RunLineage,
    begin: Begin = "as declared",
) -> TrainingPlan:
    """Settings, lineage and fingerprint of a run on a snapshot.

    A forced run works in a folder of its own, so that it finds nothing finished.

    Raises:
        ConfigurationError: the model takes or answers other tensors than its champion.
    """
    made = context.registry.manifest(story.champion) if story.champion else None
    if made is not None:
        check_tensors(made, context.definition)
    warm = context.is_warm(begin, made, snapshot.lineage)
    if begin == "champion" and made is not None and not warm:
        get_run_logger().warning("begins afresh: %s learned rows that judge now", made.version)
    settings = context.training_settings(changed, warm=warm)
    code, environment = lineage.code(context.definition), lineage.environment()
    fingerprint = lineage.fingerprint(
        context.definition, settings, snapshot.lineage, code, environment, warm=warm
    )
    return TrainingPlan(
        context=context,
        settings=settings,
        champion=story.champion,
        warm=warm,
        forced=run.forced,
        snapshot=snapshot,
        code=code,
        environment=environment,
        fingerprint=fingerprint,
        run=run,
        folder=context.work(f"{fingerprint[:12]}-{run.id}" if run.forced else fingerprint[:12]),
    )


def asked_for(by: str, reason: str, *, forced: bool, override: Override | None) -> RunLineage:
    """The run under way, who asked for it and why, as its version records for ever.

    Whoever was heard because gates are to be overruled is named as they were heard.
    """
    nobody = "the schedule" if "auto-scheduled" in flow_run.tags else "an operator"
    by = override.by if override else by.strip() or nobody
    return RunLineage(
        id=str(flow_run.id or ""),
        name=str(flow_run.name or ""),
        url=str(flow_run.ui_url or ""),
        forced=forced,
        by=by,
        reason=reason.strip() or (f"forced by {by}" if forced else ""),
        proved=override is not None and override.proved,
    )


def changes(plan: TrainingPlan) -> tuple[Axis, ...]:
    """What changed since the champion was made; nothing to tell while there is none."""
    if plan.champion is None:
        return ()
    context = plan.context
    made = context.registry.manifest(plan.champion)
    since = context.rows.taken() - context.rows.taken(made.data.dataset_version)
    settings = plan.settings.model_dump(mode="json")
    data = plan.snapshot.lineage
    return explain(made, Present(data, plan.code, plan.environment, settings, arrivals=since))


def policy(context: ModelContext, approval: Approval) -> Policy:
    """Who decides about a version that passed: as the run says, or else as the model declares.

    About a model that is declared manual people decide whatever a run says: otherwise whoever may
    start a run could do without them.
    """
    declared = context.definition.approval
    return declared if approval == "as declared" or declared == "manual" else approval


def entitled(
    context: ModelContext,
    by: str,
    reason: str,
    proof: str = "",
    *,
    asked: Mapping[str, Plain] | None = None,
) -> Override:
    """The word of somebody who may overrule gates, as the worker's settings say.

    `asked`: every other parameter of the run. A proof is of all of them: repeated, it makes the
    same candidate again and no other.

    Raises:
        ConfigurationError: there is no name or no reason.
        NotEntitled: the name is not among those who may.
        NotProved: nobody knows whose word it is.
    """
    by, reason = by.strip(), reason.strip()
    if not (by and reason):
        raise ConfigurationError("overruling gates needs `by`, a person's name, and a `reason`")
    said = {**(asked or {}), "overrule_gates": True, "reason": reason}
    actor = authenticate(context, "retrain", by=by, proof=proof, said=said, verb="overruled")
    may = context.settings.overriders
    if actor.name not in may:
        raise NotAuthorized(actor.name, "overrule gates", may, "OVERNIGHT_OVERRIDERS")
    return Override(by=actor.name, reason=reason, at=datetime.now(UTC), proved=actor.authenticated)


def overriding(override: Override | None, verdict: Verdict) -> Override | None:
    """What goes on record: which findings were overruled, or nothing when all of them hold."""
    if override is None or verdict.passed:
        return None
    overruled = tuple(finding.name for finding in verdict.refused)
    return override.model_copy(update={"overruled": overruled})


def may_take(context: ModelContext) -> bool:
    """Whether the source may bring its next arrival.

    A run that died and is tried again goes on with what it began with, not with another night,
    unless it died before anything ever came in.
    """
    first_try = (flow_run.run_count or 0) <= 1
    return first_try or context.rows.version() is None
