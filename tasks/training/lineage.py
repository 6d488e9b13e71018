"""The lineage of a version: digests of everything that determines it."""

import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import overnight
from overnight import __version__
from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.store.objects.digests import digest
from overnight.store.project import current
from overnight.store.registry.manifest import CodeLineage, DataLineage, EnvironmentLineage
from overnight.tasks import child_process
from overnight.tasks.training.import_closure import PREFIX, SourceTree, closure
from overnight.tasks.training.model_sources import ModelSources

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
# What a model that learns of its inputs depends on as well.
_LEARNING = ("overnight.tasks.data.learn",)
# Without `store` and `serving`, although steps import the one and the rehearsal starts the other:
# their effects are measured (digests of rows, answers of the real server), and a changed retry or
# log line in them must not train every model again.
_PACKAGES = frozenset({"models", "tasks"})
# The catalogue imports every model, so it would tie all their fingerprints together.
_CATALOGUE = ("overnight.models",)
# It collects names from everywhere, of which a model depends on those that it imports.
_API = "overnight.api"
# How files of a release are recorded beside those of a model's own repository.
RELEASED = PREFIX.replace(".", "/")
# Written by interpreters, editors and merges beside the files that they belong to.
_LEFT_OVER = ("~", ".pyc", ".swp", ".bak", ".orig", ".rej", ".tmp")
_LIBRARIES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "pyarrow")
# The first one that is there; a lock of a workspace may lie above the project.
_LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "requirements.lock")
_LOCKS_HERE = (*_LOCKS, "requirements.txt")


def code(definition: ModelDefinition, root: Path = ROOT) -> CodeLineage:
    """Digests of all files of the model's package, of the steps and all that these import.

    Files that are not Python are included, because code may read them: those in the model's
    package at any depth, those that models of a project share, and those beside modules that are
    imported. Caches, hidden files and editors' backups are not. Where the model's package is not
    one of overnight's, files of overnight are recorded as `overnight/…`, and the commit is that of
    the model's repository. `root` has overnight's packages.

    Raises:
        ConfigurationError: a step, or a module that one of them imports, does not exist.
    """
    sources = ModelSources.of(definition, root)
    own = [path for path in sources.files() if _is_source(path, sources.folder)]
    # Vocabularies and queries that models share are named by paths that no import shows.
    shared = {path for path in sources.shared_files() if _is_source(path, sources.folder)}
    steps = (*STEPS, *(_LEARNING if definition.learned else ()))
    modules = (*steps, definition.network, *(sources.module(p) for p in own if _is_python(p)))
    trees = [SourceTree(root, PREFIX, _PACKAGES)]
    if sources.prefix != PREFIX:
        trees.append(SourceTree(sources.folder, packages=sources.packages))
    # In the folder of the distribution's package, be it that of a checkout or of a wheel.
    api = {_API: Path(overnight.__file__).with_name("api.py")}
    reached = closure(modules, trees, excluding=_CATALOGUE, facades=api) | _encoders(
        definition, root
    )
    # A shared module may read files in its folder, as the model's own code may.
    near = {file for folder in {path.parent for path in reached} for file in folder.iterdir()}
    names = _recorded_names({*reached, *own, *near, *shared}, sources, root)
    files = {
        name: digest(path.read_bytes())
        for name, path in sorted(names.items())
        if path in reached or not _is_python(path)
    }
    repository = _git(sources.folder, "rev-parse", "--show-toplevel")
    mine = [name for name in files if sources.folder == root or not name.startswith(RELEASED)]
    return CodeLineage(
        commit=_git(sources.folder, "rev-parse", "HEAD"),
        clean=not _git(sources.folder, "status", "--porcelain", "--", *mine),
        digest=_digest_of(files),
        files=files,
        folder=_below(sources.folder, repository),
        overnight="" if sources.folder == root else __version__,
    )


def sources_folder(definition: ModelDefinition) -> Path:
    """The folder, in the repository of a model, from which its packages are imported."""
    return ModelSources.of(definition, ROOT).folder


def environment() -> EnvironmentLineage:
    """The interpreter, the machine and the locked packages of the project, or of our checkout."""
    lock = lock_file(current().folder or ROOT)
    packages = {name: number for name in _LIBRARIES if (number := _version(name))}
    return EnvironmentLineage(
        python=platform.python_version(),
        platform=platform.platform(),
        # Without a lock, what trains is known at least.
        lock_digest=digest(lock.read_bytes()) if lock else _digest_of(packages),
        packages=packages,
    )


def lock_file(project: Path) -> Path | None:
    """The lock of a project: in its folder, or in one above it up to the top of the repository."""
    for folder in (project, *project.parents):
        names = _LOCKS_HERE if folder == project else _LOCKS
        if lock := next((folder / name for name in names if (folder / name).is_file()), None):
            return lock
        if (folder / ".git").exists():
            break
    return None


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
        "overnight": code.overnight,
        "lock": environment.lock_digest,
        "settings": settings.model_dump(mode="json"),
    }
    if not settings.epochs:
        # A network that is served as it is learns from no row: new ones make no other version.
        del axes["data"]
    if warm:
        axes["start"] = "champion"
    return digest(json.dumps(axes, sort_keys=True).encode())


def _encoders(definition: ModelDefinition, root: Path) -> set[Path]:
    """The modules that encode a model's inputs; none where the network takes them as they come.

    Although they are of the store: another tokenizer makes another network.
    """
    if not (definition.learned or definition.tensors.is_encoded):
        return set()
    return {root / "store" / "input_encodings.py", *(root / "store" / "encoding").glob("*.py")}


def _recorded_names(paths: Iterable[Path], sources: ModelSources, root: Path) -> Mapping[str, Path]:
    """The files that somebody keeps, by their path in their repository."""
    # The deeper one first: an environment with our packages may lie in the project's folder.
    folders = sorted((sources.folder, root), key=lambda folder: len(folder.parts), reverse=True)
    names = {}
    for path in paths:
        folder = next(folder for folder in folders if path.is_relative_to(folder))
        if _is_source(path, folder):
            prefix = "" if folder == sources.folder else RELEASED
            names[prefix + path.relative_to(folder).as_posix()] = path
    return names


def _digest_of(values: Mapping[str, str]) -> str:
    return digest("\n".join(f"{name} {value}" for name, value in values.items()).encode())


def _below(folder: Path, repository: str) -> str:
    """The path of a folder in its repository; empty for its top, or outside of any."""
    if not repository or not folder.is_relative_to(top := Path(repository)):
        return ""
    return "" if folder == top else folder.relative_to(top).as_posix()


def _is_source(path: Path, root: Path) -> bool:
    """Whether a path is a file that somebody keeps, and no cache, hidden file or backup."""
    parts = path.relative_to(root).parts
    is_left_over = any(part.startswith((".", "#")) or part == "__pycache__" for part in parts)
    return path.is_file() and not is_left_over and not path.name.endswith(_LEFT_OVER)


def _is_python(path: Path) -> bool:
    return path.suffix == ".py"


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
