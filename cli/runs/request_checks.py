"""Checks of a request before a run is started for it, so that a typing error makes no run.

The flow checks the same again: it decides, and the store may have changed meanwhile. Where the
store cannot be asked from here, only the flow does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from overnight.cli.errors import AmbiguousVersion, WrongArgument
from overnight.cli.version_names import check_known, resolve_or_leave
from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.models.errors import UnknownModel
from overnight.store.errors import (
    ConfigurationError,
    NothingPublished,
    PromotionConflict,
    StoreDenied,
    StoreUnavailable,
    UnknownVersion,
)
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.promotions import predecessor
from overnight.store.registry.registry import ModelRegistry


def version(model: str, text: str) -> str:
    """The whole name of the version that a unique beginning stands for.

    Raises:
        WrongArgument: there is no such model or version, or several begin so.
    """
    with _wrong_argument():
        return resolve_or_leave(_bucket(load()), model, text)


def rollback(model: str) -> None:
    """Check that there is a version to roll back to.

    Raises:
        WrongArgument: nothing served before the champion, or there is none.
    """
    settings = load()
    with _wrong_argument(), _skipped_without_store():
        bucket = _bucket(settings)
        check_known(bucket, model)
        log = ModelRegistry(bucket, model, connections.known_trust(settings)).champion
        current = log.current()
        if current is None:
            raise WrongArgument(f"{model} has no champion yet, so there is nothing to roll back")
        try:
            predecessor(log, current.version)
        except PromotionConflict:
            # The champion moved while it was read: the flow decides.
            return
        except ConfigurationError:
            raise WrongArgument(
                f"nothing served {model} before {current.version}; name a version with --to"
            ) from None


def arrival(model: str, name: str, *, excluded: bool) -> None:
    """Check that an arrival can be accepted, or excluded.

    Raises:
        WrongArgument: there is no such model or arrival.
    """
    # Slow to import, and needed by these two commands only.
    from overnight.flows.errors import UnknownArrival
    from overnight.flows.run.arrivals import check_arrival
    from overnight.flows.run.context import ModelContext

    with _wrong_argument(), _skipped_without_store():
        check_known(_bucket(load()), model)
        try:
            check_arrival(ModelContext.open(model), name, excluded=excluded)
        except UnknownArrival as error:
            raise WrongArgument(str(error)) from None


def _bucket(settings: Settings) -> Bucket:
    """The bucket, asked once only: the flow asks again."""
    return connections.bucket(settings, tries=1)


@contextmanager
def _wrong_argument() -> Iterator[None]:
    try:
        yield
    except (UnknownModel, UnknownVersion, NothingPublished, AmbiguousVersion) as error:
        raise WrongArgument(str(error)) from None


@contextmanager
def _skipped_without_store() -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, StoreDenied):
        return
