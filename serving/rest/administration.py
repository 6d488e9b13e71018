"""What the routes that change something share: one writer, the actor, and conflicts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, Response

from overnight.serving.errors import BadInput, NotServed, Overloaded
from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.errors import error_response
from overnight.serving.rest.resources import resources
from overnight.store.errors import (
    ConfigurationError,
    CorruptRecord,
    CorruptVersion,
    OvernightError,
    RejectedVersion,
    TooLarge,
    UntrustedVersion,
)
from overnight.store.objects import keys
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.registry import Registry

MAXIMUM_REASON_CHARACTERS = 500
# Only one request may wait for the store: while it is slow, more would occupy all threads.
_writing = threading.Lock()


@contextmanager
def exclusive_registry() -> Iterator[Registry]:
    """The registry of all models, for one request at a time.

    Raises:
        NotServed: this server follows no store.
        Overloaded: another request is writing.
    """
    registry = resources().registry
    if registry is None:
        raise NotServed("this server follows no store, so nothing can be changed here", ())
    if not _writing.acquire(blocking=False):
        raise Overloaded("another change is under way here; look at its outcome first")
    try:
        yield registry
    finally:
        _writing.release()


def actor_of(name: str, body: dict[str, Any]) -> Actor:
    """The administrator, with the reason in the body, which is stored permanently.

    Raises:
        BadInput: no reason, or too long a one.
    """
    sent = body.get("reason")
    reason = " ".join(sent.split()) if isinstance(sent, str) else ""
    if not reason or len(reason) > MAXIMUM_REASON_CHARACTERS:
        expected = f"1 to {MAXIMUM_REASON_CHARACTERS} characters"
        actual = f"{len(reason)} characters" if isinstance(sent, str) else f"{sent!r:.80}"
        raise BadInput("reason", expected=expected, found=actual)
    return Actor(name, reason, authenticated=True)


def version_in(body: dict[str, Any], field: str) -> str | None:
    """The version named by a field, or None without one.

    Raises:
        BadInput: not the name of a version.
    """
    version = body.get(field)
    if version is None or (isinstance(version, str) and keys.is_version(version)):
        return version
    raise BadInput(field, expected="the name of a version", found=f"{version!r:.80}")


def record_response(record: AliasRecord, *, status: int = 200) -> Response:
    """The alias record that was written."""
    body = record.model_dump(mode="json", exclude={"format", "id", "signed"})
    return uncached(json_response({"record": body}, status=status))


def install_conflicts(routes: Blueprint) -> None:
    """Answer 409 where the log, the decisions or the versions of a model forbid a change."""
    for kind in (
        ConfigurationError,
        CorruptRecord,
        CorruptVersion,
        TooLarge,
        RejectedVersion,
        UntrustedVersion,
    ):
        routes.register_error_handler(kind, _conflict)


def _conflict(error: OvernightError) -> Response:
    return error_response(409, str(error))
