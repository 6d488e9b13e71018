"""What a run is about to do, told before anything heavy is done."""

from collections.abc import Mapping

from prefect.runtime import flow_run

from flows.house import House
from flows.parameters import Approval, Policy
from flows.steps import Plan
from store.manifest import RunLineage
from tasks import lineage
from tasks.report import Story
from tasks.snapshot import Snapshot


def make_plan(
    story: Story, snapshot: Snapshot, changed: Mapping[str, float | int | None], *, force: bool
) -> Plan:
    """Settings, lineage and fingerprint of a run on a snapshot.

    A forced run works in a folder of its own, so that it finds nothing finished.
    """
    house = House.of(story.model)
    settings = house.training_settings(changed)
    code, environment = lineage.code(house.definition), lineage.environment()
    fingerprint = lineage.fingerprint(
        house.definition, settings, snapshot.lineage, code, environment
    )
    run = RunLineage(
        id=str(flow_run.id or ""), name=str(flow_run.name or ""), url=str(flow_run.ui_url or "")
    )
    return Plan(
        model=story.model,
        settings=settings,
        champion=story.champion,
        snapshot=snapshot,
        code=code,
        environment=environment,
        fingerprint=fingerprint,
        run=run,
        folder=house.work(f"{fingerprint[:12]}-{run.id}" if force else fingerprint[:12]),
    )


def policy(model: str, approval: Approval) -> Policy:
    """Who decides about a version that passed: as the run says, or else as the model declares."""
    return House.of(model).definition.approval if approval == "as declared" else approval


def may_take(model: str) -> bool:
    """Whether the source may bring its next arrival.

    A run that died and is tried again goes on with what it began with, not with another night,
    unless it died before anything ever came in.
    """
    first_try = (flow_run.run_count or 0) <= 1
    return first_try or House.of(model).rows.version() is None
