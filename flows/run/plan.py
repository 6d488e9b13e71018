"""The plan of a retraining run: everything that determines its outcome, before it trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from overnight.flows.errors import IncompleteRequest, NotAuthorized
from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate
from overnight.flows.run.inputs import TrainingInputs, gather_inputs
from overnight.flows.run.parameters import Approval, Policy, StartFrom
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Finding, Override, RunLineage
from overnight.store.schema_changes import schema_changes
from overnight.store.trust.request_proof import Plain
from overnight.tasks.data.snapshot import Snapshot


@dataclass(frozen=True)
class TrainingPlan:
    """A run on a snapshot: its inputs, who requested it, and who decides about the result."""

    context: ModelContext
    champion: str | None
    snapshot: Snapshot
    inputs: TrainingInputs
    run: RunLineage
    approval: Policy
    override: Override | None
    folder: Path
    data_findings: tuple[Finding, ...] = ()

    @property
    def model(self) -> str:
        return self.context.model

    @property
    def fingerprint(self) -> str:
        return self.inputs.fingerprint

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
    """The plan of a run on a snapshot.

    A run of a model with manual approval cannot request automatic approval: anybody who may start
    a run could otherwise bypass the approval.
    """
    inputs = gather_inputs(context, champion, snapshot.lineage, changed, start_from)
    if inputs.champion is not None:
        changed_features = schema_changes(inputs.champion.tensors, context.definition.tensors)
        if changed_features:
            get_run_logger().info("since %s: %s", champion, "; ".join(changed_features))
        if start_from == "champion" and not inputs.warm:
            get_run_logger().warning(
                "starts from scratch: %s was trained on rows of today's holdout", champion
            )
    declared = context.definition.approval
    # A forced run gets a folder of its own: in a shared one it would find the candidate of an
    # earlier run, and skip the training it is forced to do.
    name = inputs.fingerprint[:12]
    return TrainingPlan(
        context=context,
        champion=champion,
        snapshot=snapshot,
        inputs=inputs,
        run=run,
        approval=declared if approval == "as declared" or declared == "manual" else approval,
        override=override,
        folder=context.scratch_folder(f"{name}-{run.id}" if run.forced else name),
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
        IncompleteRequest: there is no name or no reason.
        NotAuthorized: the person is not among OVERNIGHT_OVERRIDERS.
        Unauthenticated: the proof is not valid, or there is none where it is needed.
    """
    requested_by, reason = requested_by.strip(), reason.strip()
    if not (requested_by and reason):
        raise IncompleteRequest(
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
