"""The import closure of modules: the source files that they reach, read as syntax trees.

Nothing is imported, so a process that only compares fingerprints loads neither TensorFlow nor the
model's own code.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from overnight.store.errors import ConfigurationError

# The distribution's package: `overnight.tasks` and the folder `tasks` are the same module.
PREFIX = "overnight."
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def closure(
    modules: Iterable[str], root: Path, *, packages: Collection[str], excluding: Collection[str]
) -> set[Path]:
    """The files of `modules` and of all modules that they reach within `packages`, below `root`.

    A module is reached by an import, relative or not, or by a string that is its whole dotted
    name, as a child process is given (`python -m`). The packages above a module belong to it,
    because importing it runs them. Modules in `excluding` are neither included nor followed.

    Raises:
        ConfigurationError: a module does not exist.
    """
    paths: dict[str, Path] = {}
    pending = [(name.removeprefix(PREFIX), "the fingerprint") for name in modules]
    while pending:
        name, importer = pending.pop()
        if name in paths or name in excluding:
            continue
        path = _module_file(name, root)
        if path is None:
            raise ConfigurationError(
                f"{importer} imports the module {name}, which does not exist in {root}; "
                "correct the name if the module was renamed or removed"
            )
        paths[name] = path
        package = name.rpartition(".")[0]
        # A namespace package has no `__init__.py`, and importing it runs nothing.
        if package and _module_file(package, root):
            pending.append((package, name))
        own_package = name if path.name == "__init__.py" else package
        for module, attribute in _imported_names(path.read_bytes(), own_package):
            if module.partition(".")[0] in packages:
                pending.append((module, name))
                if attribute and _module_file(child := f"{module}.{attribute}", root):
                    pending.append((child, name))
    return set(paths.values())


def _module_file(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


# Cached by text and not by path, so that a file that changed is parsed again.
@lru_cache(maxsize=1024)
def _imported_names(source: bytes, package: str) -> frozenset[tuple[str, str]]:
    """Pairs of a module that the source imports, and the name in it that may be a submodule."""
    return frozenset(
        (module.removeprefix(PREFIX), attribute)
        for node in ast.walk(ast.parse(source))
        for module, attribute in _imports_of(node, package)
    )


def _imports_of(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, "") for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            # One dot is the module's own package, each further one the package above.
            above = package.split(".")[: package.count(".") + 2 - level] if level else []
            base = ".".join([*above, *([module] if module else [])])
            # `from overnight import tasks` names the package itself.
            root_package = f"{base}." if f"{base}." == PREFIX else ""
            for alias in names:
                yield (root_package + alias.name, "") if root_package else (base, alias.name)
        case ast.Constant(value=str(text)) if _DOTTED.fullmatch(text):
            yield text, ""
