"""The lineage of a version: digests of everything that determines it."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import CodeLineage, DataLineage, EnvironmentLineage
from overnight.tasks.training.import_closure import PREFIX, closure

# The folder that holds the packages, however deep below `tasks` this file is.
ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "tasks").is_dir())
# The steps that determine a version, its verdict, or whether to train.
STEPS = (
    "overnight.tasks.data.snapshot",
    "overnight.tasks.evaluation.reinstate",
    "overnight.tasks.training.worker",
    "overnight.tasks.training.train",
    "overnight.tasks.evaluation.evaluate",
    "overnight.tasks.evaluation.rehearse",
    "overnight.tasks.evaluation.judge",
)
# Without `store` and `serving`, although steps import the one and the rehearsal starts the other:
# their effects are measured (digests of rows, answers of the real server), and a changed retry or
# log line in them must not train every model again.
_PACKAGES = ("models", "tasks")
# The catalogue imports every model, so it would tie all their fingerprints together.
_CATALOGUE = ("models",)
_LIBRARIES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "pyarrow")


def code(definition: ModelDefinition, root: Path = ROOT) -> CodeLineage:
    """Digests of the model's sources, the steps and all that these import, and the commit.

    Raises:
        ConfigurationError: a step, or a module that one of them imports, does not exist.
    """
    modules = (*STEPS, *_model_modules(definition, root))
    sources = closure(modules, root, packages=_PACKAGES, excluding=_CATALOGUE)
    files = {str(path.relative_to(root)): digest(path.read_bytes()) for path in sorted(sources)}
    lines = (f"{path} {sha256}" for path, sha256 in files.items())
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
        packages={name: number for name in _LIBRARIES if (number := _version(name))},
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
    """One digest over all inputs of a training: equal fingerprints give equal models.

    A warm start counts as such, whichever champion it starts from: with the champion's name in it,
    every promotion would cause another training on the same rows.
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


def _model_modules(definition: ModelDefinition, root: Path) -> list[str]:
    """The modules in the model's folder: settings may name some that no module imports."""
    package = definition.network.removeprefix(PREFIX).rpartition(".")[0]
    folder = root.joinpath(*package.split("."))
    modules = (path.relative_to(root).with_suffix("") for path in folder.rglob("*.py"))
    return [definition.network, *(".".join(p.parts).removesuffix(".__init__") for p in modules)]


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
