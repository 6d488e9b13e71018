"""The plan of a retraining run: everything that determines its outcome, before it trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from overnight.flows.errors import NotAuthorized
from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate
from overnight.flows.run.parameters import Approval, Policy, StartFrom
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
from overnight.tasks.training import lineage


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that determines the outcome of a run."""

    context: ModelContext
    settings: TrainingSettings
    champion: str | None
    warm: bool
    approval: Policy
    override: Override | None
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
        """The person who requested the run; their own reason is appended to `reason`."""
        reason = "; ".join(part for part in (reason, self.run.why) if part)
        return Actor(self.run.by, reason, self.run.authenticated)


def make_plan(
    context: ModelContext,
    champion: str | None,
    snapshot: Snapshot,
    changed: Mapping[str, float | int | None],
    *,
    run: RunLineage,
    start_from: StartFrom,
    approval: Approval,
    override: Override | None,
) -> TrainingPlan:
    """Settings, lineage and fingerprint of a run on a snapshot.

    A run of a model with manual approval cannot request automatic approval: anybody who may start
    a run could otherwise bypass the approval.

    Raises:
        ConfigurationError: the model's tensors differ from those of its champion.
    """
    manifest = context.registry.manifest(champion) if champion else None
    if manifest is not None:
        # Clients and gates compare answers of both: changed tensors need a model of a new name.
        check_tensors(manifest, context.definition)
    warm = context.is_warm(start_from, manifest, snapshot.lineage)
    if start_from == "champion" and manifest is not None and not warm:
        get_run_logger().warning(
            "starts from scratch: %s was trained on rows of today's holdout", manifest.version
        )
    settings = context.training_settings(changed, warm=warm)
    declared = context.definition.approval
    code, environment = lineage.code(context.definition), lineage.environment()
    fingerprint = lineage.fingerprint(
        context.definition, settings, snapshot.lineage, code, environment, warm=warm
    )
    # A forced run gets a folder of its own: in a shared one it would find the candidate of an
    # earlier run, and skip the training it is forced to do.
    folder = f"{fingerprint[:12]}-{run.id}" if run.forced else fingerprint[:12]
    return TrainingPlan(
        context=context,
        settings=settings,
        champion=champion,
        warm=warm,
        approval=declared if approval == "as declared" or declared == "manual" else approval,
        override=override,
        snapshot=snapshot,
        code=code,
        environment=environment,
        fingerprint=fingerprint,
        run=run,
        folder=context.scratch_folder(folder),
    )


def run_lineage(
    requested_by: str, reason: str, *, forced: bool, override: Override | None
) -> RunLineage:
    """The current run with its requester and reason, as the version records them for ever.

    Of a run that overrides gates, the requester is the one who was authorized to.
    """
    # Prefect's scheduler tags the runs that it creates.
    unnamed = "the schedule" if "auto-scheduled" in flow_run.tags else "an operator"
    by = override.by if override else requested_by.strip() or unnamed
    return RunLineage(
        id=str(flow_run.id or ""),
        name=str(flow_run.name or ""),
        url=str(flow_run.ui_url or ""),
        forced=forced,
        by=by,
        reason=reason.strip() or (f"forced by {by}" if forced else ""),
        authenticated=override is not None and override.authenticated,
    )


def changes(plan: TrainingPlan) -> tuple[Axis, ...]:
    """The changes since the champion was made; empty while there is none."""
    if plan.champion is None:
        return ()
    context = plan.context
    champion = context.registry.manifest(plan.champion)
    arrivals = context.rows.arrival_names() - context.rows.arrival_names(
        champion.data.dataset_version
    )
    settings = plan.settings.model_dump(mode="json")
    data = plan.snapshot.lineage
    return explain(champion, Present(data, plan.code, plan.environment, settings, arrivals))


def authorize_override(
    context: ModelContext,
    requested_by: str,
    reason: str,
    proof: str = "",
    *,
    parameters: Mapping[str, Plain] | None = None,
) -> Override:
    """The override of gates by a person whom the worker's settings authorize.

    `parameters`: every other parameter of the run. The proof covers all of them, so that a repeated
    proof makes the same candidate again, and no other.

    Raises:
        ConfigurationError: there is no name or no reason.
        NotAuthorized: the person is not among OVERNIGHT_OVERRIDERS.
        Unauthenticated: the proof is not valid, or there is none where it is needed.
    """
    requested_by, reason = requested_by.strip(), reason.strip()
    if not (requested_by and reason):
        raise ConfigurationError(
            "overriding gates needs `requested_by`, a person's name, and a `reason`"
        )
    statement = {**(parameters or {}), "override_gates": True, "reason": reason}
    # First authenticated, then authorized: with a proof, the name is that of the token.
    actor = authenticate(
        context,
        "retrain",
        requested_by=requested_by,
        proof=proof,
        statement=statement,
        verb="overruled",
    )
    authorized = context.settings.overriders
    if actor.name not in authorized:
        raise NotAuthorized(actor.name, "override gates", authorized, "OVERNIGHT_OVERRIDERS")
    return Override(
        by=actor.name, reason=reason, at=datetime.now(UTC), authenticated=actor.authenticated
    )


def may_fetch_next(context: ModelContext) -> bool:
    """Whether the source may deliver its next arrival.

    A retry of a run that died works on what its first try ingested, and fetches no second arrival,
    unless that try died before anything was ingested.
    """
    first_try = (flow_run.run_count or 0) <= 1
    return first_try or context.rows.version() is None
