"""Explains what changed since a version was made: data, holdout, settings, code and packages.

These are the axes of the fingerprint: if none of them changed, the next run has nothing to do.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from overnight.store.registry.manifest import CodeLineage, DataLineage, EnvironmentLineage, Manifest
from overnight.store.schema import Schema
from overnight.store.schema_changes import schema_changes

_NAMED = 5


@dataclass(frozen=True)
class Axis:
    """One input of the fingerprint: whether it changed, and how."""

    name: str
    changed: bool
    detail: str


@dataclass(frozen=True)
class Present:
    """The inputs of the next training, or of the version that is compared.

    `arrivals` are those that the explained version was not trained on; `tensors` is the schema,
    where it may be another.
    """

    data: DataLineage
    code: CodeLineage
    environment: EnvironmentLineage
    settings: Mapping[str, object]
    arrivals: Collection[str] = ()
    tensors: Schema | None = None


def explain(manifest: Manifest, now: Present) -> tuple[Axis, ...]:
    """Every axis of the fingerprint, most frequent cause first."""
    return (
        _data(manifest.data, now),
        _holdout(manifest.data, now.data),
        _settings(manifest.training.settings, now.settings),
        _code(manifest.code, now.code),
        _packages(manifest.environment, now.environment),
        *([_features(manifest.tensors, now.tensors)] if now.tensors is not None else []),
    )


def _data(then: DataLineage, now: Present) -> Axis:
    if then.digest == now.data.digest:
        return Axis("data", changed=False, detail=f"the same {then.rows:,} rows")
    detail = f"{then.rows:,} rows then, {now.data.rows:,} now"
    if now.arrivals:
        detail += f"; arrived since: {_join_names(now.arrivals)}"
    elif now.data.dataset_version < then.dataset_version:
        detail += "; the dataset is older than the version: the store holds another table now"
    return Axis("data", changed=True, detail=detail)


def _holdout(then: DataLineage, now: DataLineage) -> Axis:
    same = then.holdout_digest == now.holdout_digest
    detail = f"the same {then.holdout_rows:,} rows"
    if not same:
        detail = f"{then.holdout_rows:,} rows then, {now.holdout_rows:,} now, with other contents"
        if now.judged_by != then.judged_by and now.judged_by:
            detail += f": {' and '.join(now.judged_by)} judges now"
    return Axis("holdout", changed=not same, detail=detail)


def _features(then: Schema, now: Schema) -> Axis:
    changes = schema_changes(then, now)
    detail = "; ".join(changes) or "the same inputs, outputs and classes"
    return Axis("features", changed=bool(changes), detail=detail)


def _settings(then: Mapping[str, object], now: Mapping[str, object]) -> Axis:
    names = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    detail = "; ".join(f"{name} {then.get(name)} then, {now.get(name)} now" for name in names)
    return Axis("settings", changed=bool(names), detail=detail or "the same")


def _code(then: CodeLineage, now: CodeLineage) -> Axis:
    release = ""
    if then.overnight != now.overnight:
        releases = (code.overnight or "a checkout" for code in (then, now))
        release = "overnight {} then, {} now".format(*releases)
    if then.digest == now.digest and release:
        return Axis("code", changed=True, detail=f"{release}; the same sources otherwise")
    if then.digest == now.digest:
        return Axis("code", changed=False, detail="the same sources of the model and its steps")
    # Older manifests have only one digest of all sources.
    if not then.files:
        return Axis(
            "code", changed=True, detail=f"commit {then.commit[:12]} then, other sources now"
        )
    kinds = {
        "changed": [p for p in then.files if p in now.files and then.files[p] != now.files[p]],
        "added": [path for path in now.files if path not in then.files],
        "removed": [path for path in then.files if path not in now.files],
    }
    parts = [f"{kind} {_join_names(paths)}" for kind, paths in kinds.items() if paths]
    return Axis("code", changed=True, detail="; ".join([release, *parts] if release else parts))


def _packages(then: EnvironmentLineage, now: EnvironmentLineage) -> Axis:
    if then.lock_digest == now.lock_digest:
        return Axis("packages", changed=False, detail="the same lock file")
    names = [n for n in sorted({*then.packages, *now.packages}) if _differs(then, now, n)]
    changes = [
        f"{n} {then.packages.get(n) or 'absent'} then, {now.packages.get(n) or 'absent'} now"
        for n in names
    ]
    detail = ", ".join(changes) or "another lock file; the packages that train are the same"
    return Axis("packages", changed=True, detail=detail)


def _differs(then: EnvironmentLineage, now: EnvironmentLineage, package: str) -> bool:
    return then.packages.get(package) != now.packages.get(package)


def _join_names(names: Collection[str]) -> str:
    """The first names in order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more
