"""Where a version comes from: everything that could change the answer, as digests."""

import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from models.definition import ModelDefinition, TrainingSettings
from store.bucket import digest
from store.manifest import CodeLineage, DataLineage, EnvironmentLineage

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "pyarrow")


def code(definition: ModelDefinition, root: Path = ROOT) -> CodeLineage:
    """The model's sources and those of the steps; the commit, when `root` is a checkout."""
    sources = sorted({*_models(definition, root), *_steps(root)})
    files = {str(path.relative_to(root)): digest(path.read_bytes()) for path in sources}
    lines = (f"{path} {found}" for path, found in files.items())
    return CodeLineage(
        commit=_git(root, "rev-parse", "HEAD"),
        clean=not _git(root, "status", "--porcelain"),
        digest=digest("\n".join(lines).encode()),
        files=files,
    )


def environment() -> EnvironmentLineage:
    """The interpreter, the machine and the locked packages."""
    lock = ROOT / "uv.lock"
    return EnvironmentLineage(
        python=platform.python_version(),
        platform=platform.platform(),
        lock_digest=digest(lock.read_bytes()) if lock.exists() else "",
        packages={name: found for name in _PACKAGES if (found := _version(name))},
    )


def fingerprint(
    definition: ModelDefinition,
    settings: TrainingSettings,
    data: DataLineage,
    code: CodeLineage,
    environment: EnvironmentLineage,
    *,
    warm: bool = False,
) -> str:
    """One digest over all of it: the same fingerprint is the same model, so nobody trains twice.

    Of a warm start only that it is one: were it the champion's name, every promotion would call
    for another night on the same rows.
    """
    axes = {
        "model": definition.name,
        "data": data.digest,
        "holdout": data.holdout_digest,
        "code": code.digest,
        "lock": environment.lock_digest,
        "settings": settings.model_dump(mode="json"),
    }
    if warm:
        axes["start"] = "champion"
    return digest(json.dumps(axes, sort_keys=True).encode())


def _models(definition: ModelDefinition, root: Path) -> Iterable[Path]:
    """The sources of a model, and what all models share; other models are nothing to it.

    Neither is the catalogue, which only names them.
    """
    own = root / Path(*definition.network.split(".")[:-1])
    for path in (root / "models").rglob("*.py"):
        others = [folder for folder in path.parents if (folder / "network.py").exists()]
        if path != root / "models" / "__init__.py" and (not others or own in path.parents):
            yield path


def _steps(root: Path) -> Iterable[Path]:
    """The steps whose code can change a version or its verdict, or whether one is needed."""
    names = ("fit", "train", "evaluate", "rehearse", "judge", "snapshot", "reconsider")
    return (path for name in names if (path := root / "tasks" / f"{name}.py").exists())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
