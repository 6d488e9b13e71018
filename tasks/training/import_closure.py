"""The import closure of modules: the source files that they reach, read as syntax trees.

Nothing is imported, so a process that only compares fingerprints loads neither TensorFlow nor the
model's own code.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from overnight.store.errors import ConfigurationError

# The distribution's package: `overnight.tasks` and the folder `tasks` are the same module.
PREFIX = "overnight."
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class SourceTree:
    """A folder of modules: those of a module `<prefix><name>` lie at `<folder>/<name>`.

    Attributes:
        packages: the names in the folder that are followed, and must be there; None for every
            module that is there.
    """

    folder: Path
    prefix: str = ""
    packages: frozenset[str] | None = None

    def file_of(self, module: str) -> Path | None:
        """The file of a module, if it is one of this tree."""
        if not module.startswith(self.prefix):
            return None
        name = module.removeprefix(self.prefix)
        if self.packages is not None and name.partition(".")[0] not in self.packages:
            return None
        place = self.folder.joinpath(*name.split("."))
        candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)

    def claims(self, module: str) -> bool:
        """Whether a module has to be in this tree, so that it is an error when it is not.

        Never in a folder of which only some names are packages: a text may look like a module.
        """
        if self.packages is None or not module.startswith(self.prefix):
            return False
        return module.removeprefix(self.prefix).partition(".")[0] in self.packages


def closure(
    modules: Iterable[str],
    trees: Sequence[SourceTree],
    *,
    excluding: Collection[str],
    facades: Mapping[str, Path] | None = None,
) -> set[Path]:
    """The files of `modules` and of all modules that they reach within the trees.

    A module is reached by an import, relative or not, or by a string that is its whole dotted
    name, as a child process is given (`python -m`). The packages above a module belong to it,
    because importing it runs them. Modules in `excluding` are neither included nor followed. Of a
    module in `facades`, which only collects names of others, the names that are imported are
    followed to where they are from.

    Raises:
        ConfigurationError: a module does not exist.
    """
    paths: dict[str, Path] = {}
    pending = [(name, "the fingerprint") for name in modules]
    while pending:
        name, importer = pending.pop()
        if name in paths or name in excluding:
            continue
        path = _module_file(name, trees)
        if path is None:
            raise ConfigurationError(
                f"{importer} imports the module {name}, which does not exist in "
                f"{' or '.join(str(tree.folder) for tree in trees)}; "
                "correct the name if the module was renamed or removed"
            )
        paths[name] = path
        package = name.rpartition(".")[0]
        # A namespace package has no `__init__.py`, and importing it runs nothing.
        if package and _module_file(package, trees):
            pending.append((package, name))
        own_package = name if path.name == "__init__.py" else package
        imported = _imported_names(path.read_bytes(), own_package)
        for module, attribute in _through(facades or {}, imported):
            child = f"{module}.{attribute}" if attribute else ""
            is_module = _module_file(module, trees) or any(t.claims(module) for t in trees)
            pending += [(module, name)] if is_module else []
            pending += [(child, name)] if child and _module_file(child, trees) else []
    return set(paths.values())


def _through(
    facades: Mapping[str, Path], imported: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Imports, with those of a facade replaced by where its names are from."""
    for module, attribute in imported:
        if module in facades:
            collected = _imported_names(facades[module].read_bytes(), module.rpartition(".")[0])
            # Without a name, or with a star, all of them.
            yield from (c for c in collected if attribute in {"", "*", c[1]})
        else:
            yield module, attribute


def _module_file(module: str, trees: Sequence[SourceTree]) -> Path | None:
    return next((path for tree in trees if (path := tree.file_of(module))), None)


# Cached by text and not by path, so that a file that changed is parsed again.
@lru_cache(maxsize=1024)
def _imported_names(source: bytes, package: str) -> frozenset[tuple[str, str]]:
    """Pairs of a module that the source imports, and the name in it that may be a submodule."""
    return frozenset(
        (module, attribute)
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
