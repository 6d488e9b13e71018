"""The lineage of a version: digests of everything that determines it."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import CodeLineage, DataLineage, EnvironmentLineage
from overnight.tasks import child_process
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
# Written by interpreters, editors and merges beside the files that they belong to.
_LEFT_OVER = ("~", ".pyc", ".swp", ".bak", ".orig", ".rej", ".tmp")
_LIBRARIES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "pyarrow")


def code(definition: ModelDefinition, root: Path = ROOT) -> CodeLineage:
    """Digests of all files of the model's package, of the steps and all that these import.

    Files that are not Python are included, in the model's package at any depth and beside modules
    that are imported, because code may read them. Caches, hidden files and editors' backups are
    not.

    Raises:
        ConfigurationError: a step, or a module that one of them imports, does not exist.
    """
    own = _model_files(definition, root)
    modules = (*STEPS, definition.network, *(_module(p, root) for p in own if _is_python(p)))
    sources = closure(modules, root, packages=_PACKAGES, excluding=_CATALOGUE)
    # A shared module may read files in its folder, as the model's own code may.
    near = {file for folder in {path.parent for path in sources} for file in folder.iterdir()}
    data = {file for file in (*own, *near) if not _is_python(file) and _is_source(file, root)}
    files = {
        path.relative_to(root).as_posix(): digest(path.read_bytes())
        for path in sorted(sources | data)
    }
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


def _model_files(definition: ModelDefinition, root: Path) -> list[Path]:
    """The files in the model's package: settings may name modules that no module imports."""
    package = definition.network.removeprefix(PREFIX).rpartition(".")[0]
    folder = root.joinpath(*package.split("."))
    return [path for path in folder.rglob("*") if _is_source(path, root)]


def _is_source(path: Path, root: Path) -> bool:
    """Whether a path is a file that somebody keeps, and no cache, hidden file or backup."""
    parts = path.relative_to(root).parts
    is_left_over = any(part.startswith((".", "#")) or part == "__pycache__" for part in parts)
    return path.is_file() and not is_left_over and not path.name.endswith(_LEFT_OVER)


def _is_python(path: Path) -> bool:
    return path.suffix == ".py"


def _module(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    try:
        ended = child_process.capture(["git", *arguments], folder=root, seconds=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if ended.returncode else ended.stdout.strip()
