"""Administrative actions: start and stop a challenger, roll back the champion."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, Response
from pydantic import ValidationError

from overnight.serving.errors import BadInput, NotServed, Overloaded
from overnight.serving.rest.bodies import json_body, json_response, uncached
from overnight.serving.rest.errors import error_response
from overnight.serving.rest.resources import administrator, resources
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
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import Registry

MAXIMUM_REASON_CHARACTERS = 500
# Only one request may wait for the store: while it is slow, more would occupy all threads.
_writing = threading.Lock()

routes = Blueprint("challenger", __name__, url_prefix="/api")


@routes.post("/models/<model>/challenger")
def start(model: str) -> Response:
    """Start `version` as challenger, in the given `mode` and on the given terms."""
    name = administrator()
    slot = resources().slots.find(model)
    body = json_body()
    version, actor, terms = _version(body, "version"), _actor(name, body), _terms(body)
    if version is None:
        raise BadInput("version", expected="the name of a version", found="nothing")
    with _exclusive_registry() as registry:
        record = Challenges.of(registry.model(slot.model)).start(version, terms=terms, actor=actor)
    slot.shared.request_refresh()
    return _record_response(record, status=201)


@routes.delete("/models/<model>/challenger")
def stop(model: str) -> Response:
    """Stop the challenger, which must be `expected` if that is given."""
    name = administrator()
    slot = resources().slots.find(model)
    body = json_body()
    actor, expected = _actor(name, body), _version(body, "expected")
    with _exclusive_registry() as registry:
        record = Challenges.of(registry.model(slot.model)).stop(actor, expected=expected)
    slot.shared.request_refresh()
    return _record_response(record)


@routes.post("/models/<model>/rollback")
def roll_back(model: str) -> Response:
    """Point the champion from `expected` to `to`.

    By default, from the current champion to its predecessor.
    """
    name = administrator()
    slot = resources().slots.find(model)
    body = json_body()
    actor, expected, to = _actor(name, body), _version(body, "expected"), _version(body, "to")
    with _exclusive_registry() as registry:
        model_registry = registry.model(slot.model)
        expected = expected or model_registry.champion_version()
        record = Promotions(model_registry).roll_back(expected=expected, to=to, actor=actor)
    # Refreshed at once, so that this host does not serve the old champion until the next poll.
    slot.shared.request_refresh()
    return _record_response(record)


@contextmanager
def _exclusive_registry() -> Iterator[Registry]:
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


def _actor(name: str, body: dict[str, Any]) -> Actor:
    """The administrator, with the reason in the body, which is stored permanently.

    Raises:
        BadInput: no reason, or too long a one.
    """
    sent = body.get("reason")
    reason = " ".join(sent.split()) if isinstance(sent, str) else ""
    if not reason or len(reason) > MAXIMUM_REASON_CHARACTERS:
        found = f"{len(reason)} characters" if isinstance(sent, str) else f"{sent!r:.80}"
        expected = f"1 to {MAXIMUM_REASON_CHARACTERS} characters"
        raise BadInput("reason", expected=expected, found=found)
    return Actor(name, reason, authenticated=True)


def _version(body: dict[str, Any], field: str) -> str | None:
    """The version named by a field, or None without one.

    Raises:
        BadInput: not the name of a version.
    """
    version = body.get(field)
    if version is None or (isinstance(version, str) and keys.is_version(version)):
        return version
    raise BadInput(field, expected="the name of a version", found=f"{version!r:.80}")


def _terms(body: dict[str, Any]) -> Terms:
    sent = {name: body[name] for name in Terms.model_fields if name in body}
    try:
        return Terms.model_validate(sent, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        found = f"{first['input']!r:.80}" if field in sent else "nothing"
        raise BadInput(field, expected=first["msg"], found=found) from None


def _record_response(record: AliasRecord, *, status: int = 200) -> Response:
    body = record.model_dump(mode="json", exclude={"format", "id", "signed"})
    return uncached(json_response({"record": body}, status=status))


@routes.errorhandler(ConfigurationError)
@routes.errorhandler(CorruptRecord)
@routes.errorhandler(CorruptVersion)
@routes.errorhandler(TooLarge)
@routes.errorhandler(RejectedVersion)
@routes.errorhandler(UntrustedVersion)
def _conflict(error: OvernightError) -> Response:
    """The log, the decisions or the versions of the model do not allow the change."""
    return error_response(409, str(error))
