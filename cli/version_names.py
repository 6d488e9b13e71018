"""Names of versions at the command line: short ones are shown, and any unique beginning is taken.

A name is `20261122T020000-0123456789ab`. Its beginning to the minute nearly always identifies it.
"""

from collections.abc import Iterable

from rich.console import Console

from overnight.cli.errors import AmbiguousVersion
from overnight.models.errors import UnknownModel
from overnight.store.errors import NothingPublished, StoreDenied, StoreUnavailable, UnknownVersion
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.registry import ModelRegistry, Registry

CHAMPION = "champion"
# To the minute, to the second, and whole.
_LENGTHS = (13, 15, 28)


def shortener(bucket: Bucket, model: str, console: Console) -> "ShortNames":
    """Shortens the names of a model's versions on a terminal; programs get whole ones."""
    names = version_names(bucket, model) if console.is_terminal else None
    return ShortNames(names)


class ShortNames:
    """The shortest names of versions that identify each among all of its model's."""

    def __init__(self, among: Iterable[str] | None) -> None:
        """`among`: the versions there are; None to leave every name whole."""
        self._among = None if among is None else tuple(among)

    def __call__(self, version: str) -> str:
        if self._among is None or not keys.is_version(version):
            return version
        others = [name for name in self._among if name != version]
        for length in _LENGTHS:
            if not any(name.startswith(version[:length]) for name in others):
                return version[:length]
        return version


def check_known(bucket: Bucket, model: str) -> None:
    """Check that a model is declared here, or has anything in the store.

    Raises:
        UnknownModel: naming those that are.
    """
    # Slow to import, and most commands need no catalogue.
    from overnight import models

    stored = Registry(bucket).models()
    declared = models.names()
    if model not in {*stored, *declared}:
        raise UnknownModel(model, tuple(sorted({*stored, *declared})))


def resolve(bucket: Bucket, model: str, text: str) -> str:
    """The version of a model that a name, or a unique beginning of one, stands for.

    `champion` is the version that serves.

    Raises:
        UnknownModel, NothingPublished, UnknownVersion
        AmbiguousVersion: naming those that begin so.
    """
    check_known(bucket, model)
    if text == CHAMPION:
        version = ModelRegistry(bucket, model).champion_version()
        if version is None:
            raise NothingPublished(model, Registry(bucket).models())
        return version
    fitting = [name for name in version_names(bucket, model) if text and name.startswith(text)]
    if not fitting:
        raise UnknownVersion(model, text)
    if len(fitting) > 1:
        raise AmbiguousVersion(model, text, fitting)
    return fitting[0]


def resolve_or_leave(bucket: Bucket, model: str, text: str) -> str:
    """As `resolve`; a whole name stays where the store cannot be asked, and the run checks it.

    Raises:
        UnknownModel, NothingPublished, UnknownVersion, AmbiguousVersion
        StoreUnavailable, StoreDenied: only a whole name can do without the store.
    """
    try:
        return resolve(bucket, model, text)
    except (StoreUnavailable, StoreDenied):
        if keys.is_version(text):
            return text
        raise


def version_names(bucket: Bucket, model: str) -> list[str]:
    """Every version of a model, oldest first, half-written ones as well."""
    return [name for name in bucket.names_below(keys.versions(model)) if keys.is_version(name)]
