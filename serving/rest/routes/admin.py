"""Administrative actions: start and stop a challenger, roll back the champion."""

from typing import Any

from flask import Blueprint, Response
from pydantic import ValidationError

from overnight.serving.errors import BadInput
from overnight.serving.rest.administration import (
    actor_of,
    exclusive_registry,
    install_conflicts,
    record_response,
    version_in,
)
from overnight.serving.rest.bodies import json_body
from overnight.serving.rest.resources import administrator, resources
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.promotions import Promotions

routes = Blueprint("challenger", __name__, url_prefix="/api")
install_conflicts(routes)


@routes.post("/models/<model>/challenger")
def start(model: str) -> Response:
    """Start `version` as challenger, in the given `mode` and on the given terms."""
    name = administrator()
    slot = resources().slots.find(model)
    body = json_body()
    version, actor, terms = version_in(body, "version"), actor_of(name, body), _terms(body)
    if version is None:
        raise BadInput("version", expected="the name of a version", found="nothing")
    with exclusive_registry() as registry:
        record = Challenges.of(registry.model(slot.model)).start(version, terms=terms, actor=actor)
    slot.shared.request_refresh()
    return record_response(record, status=201)


@routes.delete("/models/<model>/challenger")
def stop(model: str) -> Response:
    """Stop the challenger, which must be `expected` if that is given."""
    name = administrator()
    slot = resources().slots.find(model)
    body = json_body()
    actor, expected = actor_of(name, body), version_in(body, "expected")
    with exclusive_registry() as registry:
        record = Challenges.of(registry.model(slot.model)).stop(actor, expected=expected)
    slot.shared.request_refresh()
    return record_response(record)


@routes.post("/models/<model>/rollback")
def roll_back(model: str) -> Response:
    """Point the champion from `expected` to `to`.

    By default, from the current champion to its predecessor.
    """
    name = administrator()
    slot = resources().slots.find(model)
    body = json_body()
    actor, expected, to = actor_of(name, body), version_in(body, "expected"), version_in(body, "to")
    with exclusive_registry() as registry:
        model_registry = registry.model(slot.model)
        expected = expected or model_registry.champion_version()
        record = Promotions(model_registry).roll_back(expected=expected, to=to, actor=actor)
    # Refreshed at once, so that this host does not serve the old champion until the next poll.
    slot.shared.request_refresh()
    return record_response(record)


def _terms(body: dict[str, Any]) -> Terms:
    sent = {name: body[name] for name in Terms.model_fields if name in body}
    try:
        return Terms.model_validate(sent, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        found = f"{first['input']!r:.80}" if field in sent else "nothing"
        raise BadInput(field, expected=first["msg"], found=found) from None
