"""Explain what changed since a version was made: data, holdout, settings, code and packages.

These are the axes of the fingerprint: when none of them changed, the next night is a no-op.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from overnight.store.registry.manifest import CodeLineage, DataLineage, EnvironmentLineage, Manifest

_TOLD_NAMES = 5


@dataclass(frozen=True)
class Axis:
    """One of the things that could change the answer: whether it did, and how."""

    name: str
    changed: bool
    detail: str


@dataclass(frozen=True)
class Present:
    """What the next training, or another version, is made from.

    `arrivals` are those that the explained version lacks.
    """

    data: DataLineage
    code: CodeLineage
    environment: EnvironmentLineage
    settings: Mapping[str, object]
    arrivals: Collection[str] = ()


def explain(made: Manifest, now: Present) -> tuple[Axis, ...]:
    """Every axis of the fingerprint, in the order in which people ask."""
    return (
        _data(made.data, now),
        _holdout(made.data, now.data),
        _settings(made.training.settings, now.settings),
        _code(made.code, now.code),
        _packages(made.environment, now.environment),
    )


def _data(then: DataLineage, now: Present) -> Axis:
    if then.digest == now.data.digest:
        return Axis("data", changed=False, detail=f"the same {then.rows:,} rows")
    told = f"{then.rows:,} rows then, {now.data.rows:,} now"
    if now.arrivals:
        told += f"; arrived since: {_listed(now.arrivals)}"
    elif now.data.dataset_version < then.dataset_version:
        told += "; the dataset is older than the version: the store holds another table now"
    return Axis("data", changed=True, detail=told)


def _holdout(then: DataLineage, now: DataLineage) -> Axis:
    same = then.holdout_digest == now.holdout_digest
    told = f"the same {then.holdout_rows:,} rows"
    if not same:
        told = f"{then.holdout_rows:,} rows then, {now.holdout_rows:,} now, with other contents"
    return Axis("holdout", changed=not same, detail=told)


def _settings(then: Mapping[str, object], now: Mapping[str, object]) -> Axis:
    names = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    told = "; ".join(f"{name} {then.get(name)} then, {now.get(name)} now" for name in names)
    return Axis("settings", changed=bool(names), detail=told or "the same")


def _code(then: CodeLineage, now: CodeLineage) -> Axis:
    if then.digest == now.digest:
        return Axis("code", changed=False, detail="the same sources of the model and its steps")
    if not then.files:
        return Axis("code", changed=True, detail=f"commit {then.commit[:12]} then, others now")
    kinds = {
        "changed": [p for p in then.files if p in now.files and then.files[p] != now.files[p]],
        "added": [path for path in now.files if path not in then.files],
        "removed": [path for path in then.files if path not in now.files],
    }
    told = "; ".join(f"{kind} {_listed(paths)}" for kind, paths in kinds.items() if paths)
    return Axis("code", changed=True, detail=told)


def _packages(then: EnvironmentLineage, now: EnvironmentLineage) -> Axis:
    if then.lock_digest == now.lock_digest:
        return Axis("packages", changed=False, detail="the same lock file")
    names = [n for n in sorted({*then.packages, *now.packages}) if _differs(then, now, n)]
    moved = [
        f"{n} {then.packages.get(n) or 'absent'} then, {now.packages.get(n) or 'absent'} now"
        for n in names
    ]
    told = ", ".join(moved) or "another lock file; those that train are the same"
    return Axis("packages", changed=True, detail=told)


def _differs(then: EnvironmentLineage, now: EnvironmentLineage, package: str) -> bool:
    return then.packages.get(package) != now.packages.get(package)


def _listed(names: Collection[str]) -> str:
    """The first names in order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _TOLD_NAMES} more" if len(ordered) > _TOLD_NAMES else ""
    return ", ".join(ordered[:_TOLD_NAMES]) + more
