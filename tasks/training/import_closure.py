"""Import closure: the source files that some modules reach by their imports, read as syntax trees.

Nothing is imported, so that a process which only compares fingerprints loads neither TensorFlow
nor the model's own code.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from overnight.store.errors import ConfigurationError

# The distribution's package: below it or beside it, a module is the same module.
PREFIX = "overnight."
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def closure(
    modules: Iterable[str], root: Path, *, packages: Collection[str], excluding: Collection[str]
) -> set[Path]:
    """The files of `modules` and of all that they reach within `packages`, which lie in `root`.

    A module is reached by an import, relative or not, or by a string that is its whole dotted
    name, as a child process is given (`python -m`). The packages above a module belong to it,
    because importing it runs them. Modules named in `excluding` are neither taken nor followed.

    Raises:
        ConfigurationError: a module that is named or imported does not exist.
    """
    found: dict[str, Path] = {}
    waiting = [(name.removeprefix(PREFIX), "the fingerprint") for name in modules]
    while waiting:
        name, by = waiting.pop()
        if name in found or name in excluding:
            continue
        path = _file(name, root)
        if path is None:
            raise ConfigurationError(
                f"{by} needs the module {name}, and there is none in {root}; "
                "a module that was renamed or removed is renamed or removed there, too"
            )
        found[name] = path
        package = name.rpartition(".")[0]
        # A folder without an `__init__.py` is a package as well, and runs nothing.
        if package and _file(package, root):
            waiting.append((package, name))
        own = name if path.name == "__init__.py" else package
        for module, attribute in _references(path.read_bytes(), own):
            if module.partition(".")[0] in packages:
                waiting.append((module, name))
                if attribute and _file(child := f"{module}.{attribute}", root):
                    waiting.append((child, name))
    return set(found.values())


def _file(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


# By text, not by path: a file that changed meanwhile is read anew.
@lru_cache(maxsize=1024)
def _references(source: bytes, package: str) -> frozenset[tuple[str, str]]:
    """What a module of `package` refers to: modules, and a name in it that may be one, too."""
    return frozenset(
        (module.removeprefix(PREFIX), attribute)
        for node in ast.walk(ast.parse(source))
        for module, attribute in _named(node, package)
    )


def _named(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, "") for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            # One dot is the module's own package, each further one the package above.
            above = package.split(".")[: package.count(".") + 2 - level] if level else []
            base = ".".join([*above, *([module] if module else [])])
            # `from overnight import tasks` names the package itself.
            whole = f"{base}." if f"{base}." == PREFIX else ""
            for alias in names:
                yield (whole + alias.name, "") if whole else (base, alias.name)
        case ast.Constant(value=str(text)) if _DOTTED.fullmatch(text):
            yield text, ""
