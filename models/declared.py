"""The declarations of all models: those of the project, of installed packages, and our examples."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata

from overnight.store.errors import ConfigurationError
from overnight.store.names import nearest
from overnight.store.project import DeclaredModel, Project, current

GROUP = "overnight.models"
# Models that come along to be tried, and that nobody has to keep.
EXAMPLES = ("digits", "sales")
# A name is part of keys, of addresses, and of the names of settings.
MODEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def declared_models() -> Mapping[str, DeclaredModel]:
    """The models of this process by name, in alphabetical order.

    A project's own and those of installed packages; where there are neither, the examples. Names
    that the setting OVERNIGHT_MODELS chooses may be of any of them.

    Raises:
        ConfigurationError: a declaration is wrong, two differ, or a chosen name is unknown.
    """
    return _declared(current(), _installed())


def _installed() -> tuple[tuple[str, DeclaredModel], ...]:
    """Entry points of installed packages, with the name of the distribution that has each."""
    return tuple(
        (
            entry.dist.name if entry.dist else "",
            DeclaredModel(
                entry.name,
                entry.value,
                f"the package {entry.dist.name if entry.dist else 'of an unknown name'}",
            ),
        )
        for entry in metadata.entry_points(group=GROUP)
    )


@lru_cache(maxsize=8)
def _declared(
    project: Project, installed: tuple[tuple[str, DeclaredModel], ...]
) -> Mapping[str, DeclaredModel]:
    # What its own files declare now counts, not what was declared when it was installed.
    others = [model for name, model in installed if not same_distribution(name, project)]
    own = _by_name([*project.declared, *others])
    examples = _by_name(DeclaredModel(n, f"overnight.models.{n}", "overnight") for n in EXAMPLES)
    if not project.chosen:
        is_demonstration = project.folder is None and not own
        return examples if is_demonstration else own
    known = {**examples, **own}
    if unknown := [name for name in project.chosen if name not in known]:
        raise ConfigurationError(
            f"OVERNIGHT_MODELS names {unknown[0]!r}, and no model is called so; "
            f"{nearest(unknown[0], known)}"
        )
    return {name: known[name] for name in sorted(set(project.chosen))}


def same_distribution(name: str, project: Project) -> bool:
    """Whether this is the installed name of the project itself (PEP 503 ignores case and dots)."""
    plain = [re.sub(r"[-_.]+", "-", each).lower() for each in (name, project.distribution)]
    return bool(plain[0]) and plain[0] == plain[1]


def _by_name(models: Iterable[DeclaredModel]) -> dict[str, DeclaredModel]:
    """Models by name, each checked.

    Raises:
        ConfigurationError: a bad name or module, or two packages of one name.
    """
    known: dict[str, DeclaredModel] = {}
    for model in models:
        _check(model)
        before = known.setdefault(model.name, model)
        if before.module != model.module:
            raise ConfigurationError(
                f"two models are called {model.name!r}: {before.module} by {before.where}, and "
                f"{model.module} by {model.where}; rename or remove one of them"
            )
    return dict(sorted(known.items()))


def _check(model: DeclaredModel) -> None:
    if not MODEL_NAME.fullmatch(model.name):
        raise ConfigurationError(
            f"{model.where} declares a model {model.name!r}: expected lower-case letters, digits "
            "and '_', beginning with a letter, 63 at most; rename it"
        )
    if not _MODULE.fullmatch(model.module):
        remedy = f'write {model.name} = "{model.module.partition(":")[0]}"'
        if ":" not in model.module:
            remedy = 'write the name of its module, such as "shop.wine"'
        raise ConfigurationError(
            f"{model.where} declares {model.name} = {model.module!r}: expected the dotted name of "
            f"the module that has its DEFINITION, and nothing else; {remedy}"
        )
