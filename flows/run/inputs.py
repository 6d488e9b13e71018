"""The inputs of a training, which its fingerprint covers; computed without Prefect."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.flows.run.context import ModelContext
from overnight.flows.run.parameters import StartFrom
from overnight.models.definition import TrainingSettings
from overnight.store.registry.manifest import CodeLineage, DataLineage, EnvironmentLineage, Manifest
from overnight.tasks.evaluation.explain import Axis, Present, explain
from overnight.tasks.training import lineage


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that a training depends on, and the fingerprint of it."""

    champion: Manifest | None
    data: DataLineage
    settings: TrainingSettings
    code: CodeLineage
    environment: EnvironmentLineage
    warm: bool
    fingerprint: str


def gather_inputs(
    context: ModelContext,
    champion: str | None,
    data: DataLineage,
    changed: Mapping[str, float | int | None],
    start_from: StartFrom,
) -> TrainingInputs:
    """The inputs of a run on `data` now, with `changed` settings."""
    manifest = context.registry.manifest(champion) if champion else None
    warm = context.is_warm(start_from, manifest, data)
    settings = context.training_settings(changed, warm=warm)
    code, environment = lineage.code(context.definition), lineage.environment()
    fingerprint = lineage.fingerprint(
        context.definition, settings, data, code, environment, warm=warm
    )
    return TrainingInputs(manifest, data, settings, code, environment, warm, fingerprint)


def changes(context: ModelContext, inputs: TrainingInputs) -> tuple[Axis, ...]:
    """The changes since the champion was made; empty while there is none."""
    if inputs.champion is None:
        return ()
    before = context.rows.arrival_names(inputs.champion.data.dataset_version)
    now = Present(
        inputs.data,
        inputs.code,
        inputs.environment,
        inputs.settings.model_dump(mode="json"),
        arrivals=context.rows.arrival_names() - before,
        tensors=context.definition.tensors,
    )
    return explain(inputs.champion, now)
