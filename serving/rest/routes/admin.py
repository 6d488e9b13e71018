"""What administrators change by hand: the challenger and the champion, by records in the store."""

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
    CorruptVersion,
    OvernightError,
    PromotionConflict,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.registry import ModelRegistry

LONGEST_REASON = 500
# One change at a time: waiting for the store would keep a thread from answering.
_writing = threading.Lock()

routes = Blueprint("challenger", __name__, url_prefix="/api")


@routes.post("/models/<model>/challenger")
def start(model: str) -> Response:
    """Let `version` challenge the champion, in the `mode` and on the terms that are given."""
    by = administrator()
    found = resources().slots.find(model)
    asked = json_body()
    version, reason, terms = version_of(asked, "version"), reason_of(asked), _terms(asked)
    if version is None:
        raise BadInput("version", expected="the name of a version", found="nothing")
    with alone() as bucket:
        record = Challenges(bucket, found.model).start(
            version, terms=terms, actor=Actor(by, reason, authenticated=True)
        )
    found.board.ask()
    return _told(record, status=201)


@routes.delete("/models/<model>/challenger")
def stop(model: str) -> Response:
    """Stop the challenger `expected`, or whichever runs; the champion then gets all traffic."""
    by = administrator()
    found = resources().slots.find(model)
    asked = json_body()
    reason, expected = reason_of(asked), version_of(asked, "expected")
    with alone() as bucket:
        record = Challenges(bucket, found.model).stop(
            Actor(by, reason, authenticated=True), expected=expected
        )
    found.board.ask()
    return _told(record)


@routes.post("/models/<model>/rollback")
def roll_back(model: str) -> Response:
    """Point the champion from `expected` to `to`.

    Without `expected`, from whatever is champion now; without `to`, to what served before it.
    """
    by = administrator()
    found = resources().slots.find(model)
    asked = json_body()
    actor = Actor(by, reason_of(asked), authenticated=True)
    expected, to = version_of(asked, "expected"), version_of(asked, "to")
    with alone() as bucket:
        registry = ModelRegistry(bucket, found.model)
        record = _rolled_back(registry, expected=expected, to=to, actor=actor)
    # Nobody waits for the next poll to see what they have done.
    found.board.ask()
    return _told(record)


@contextmanager
def alone() -> Iterator[Bucket]:
    """The bucket, for one request at a time: who waits for the store keeps a thread from answering.

    Raises:
        NotServed: this server follows no store.
        Overloaded: another request is writing at this moment.
    """
    bucket = resources().bucket
    if bucket is None:
        raise NotServed("this server follows no store, so nothing can be changed here", ())
    if not _writing.acquire(blocking=False):
        raise Overloaded("another change is under way here; look at its outcome first")
    try:
        yield bucket
    finally:
        _writing.release()


def reason_of(asked: dict[str, Any]) -> str:
    """Why, in words that are kept for good.

    Raises:
        BadInput: nothing, or too much.
    """
    reason = asked.get("reason")
    words = " ".join(reason.split()) if isinstance(reason, str) else ""
    if not words or len(words) > LONGEST_REASON:
        found = f"{len(words)} characters" if isinstance(reason, str) else f"{reason!r:.80}"
        raise BadInput("reason", expected=f"1 to {LONGEST_REASON} characters", found=found)
    return words


def version_of(asked: dict[str, Any], field: str) -> str | None:
    """A version by its name, or None where none is named.

    Raises:
        BadInput: it is no version's name.
    """
    version = asked.get(field)
    if version is None or (isinstance(version, str) and keys.is_version(version)):
        return version
    raise BadInput(field, expected="the name of a version", found=f"{version!r:.80}")


def _rolled_back(
    registry: ModelRegistry, *, expected: str | None, to: str | None, actor: Actor
) -> AliasRecord:
    if expected is None:
        expected = registry.champion_version()
    record = registry.roll_back(expected=expected, to=to, actor=actor)
    if to is not None and record.version != to:
        # Somebody rolled back from the same champion first, and to something else.
        where = f"{registry.model}@champion"
        raise PromotionConflict(where, expected=expected, found=record.version)
    return record


def _told(record: AliasRecord, *, status: int = 200) -> Response:
    told = record.model_dump(mode="json", exclude={"format", "id"})
    return uncached(json_response({"record": told}, status=status))


def _terms(asked: dict[str, Any]) -> Terms:
    given = {name: asked[name] for name in Terms.model_fields if name in asked}
    try:
        return Terms.model_validate(given, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        found = f"{first['input']!r:.80}" if field in given else "nothing"
        raise BadInput(field, expected=first["msg"], found=found) from None


@routes.errorhandler(ConfigurationError)
@routes.errorhandler(CorruptVersion)
def _conflict(error: OvernightError) -> Response:
    """Nothing to start, stop or roll back to: the log and the versions say so."""
    return error_response(409, str(error))
