"""Decisions of administrators: about versions that wait, earlier versions, and parked arrivals.

They write the same records as the command line, with the key and the rights of the operator.
"""

from typing import Any, Literal

from flask import Blueprint, Response

from overnight.serving.errors import NothingParked, NotServed
from overnight.serving.rest.administration import (
    actor_of,
    exclusive_registry,
    install_conflicts,
    record_response,
    version_in,
)
from overnight.serving.rest.bodies import json_body, json_response, uncached
from overnight.serving.rest.resources import administrator, resources
from overnight.store.datasets.arrival_reviews import ArrivalReviews, PendingReview
from overnight.store.errors import ConfigurationError
from overnight.store.objects import keys
from overnight.store.objects.records import read
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry

routes = Blueprint("decisions", __name__, url_prefix="/api")
install_conflicts(routes)


@routes.post("/models/<model>/versions/<version>/approve")
def approve(model: str, version: str) -> Response:
    """Approve a version that waits, and promote it over the champion it was compared with."""
    name, version = administrator(), _named(model, version)
    slot = resources().slots.find(model)
    actor = actor_of(name, json_body())
    with exclusive_registry() as registry:
        models = registry.model(slot.model)
        manifest, champion = models.manifest(version), models.champion_version()
        # A repeated approval finds the version itself as champion, and is no conflict.
        if champion not in {manifest.compared_with, version}:
            raise ConfigurationError(
                f"{version} was compared with {manifest.compared_with or 'no champion'}, and "
                f"{champion or 'none'} serves now, so nothing was changed; `overnight retrain "
                f"{slot.model}` compares with it"
            )
        _check_may_decide(models)
        models.decisions.decide(version, "approved", actor)
        record = Promotions(models).promote(version, expected=champion, actor=actor)
    slot.shared.request_refresh()
    return record_response(record)


@routes.post("/models/<model>/versions/<version>/reject")
def reject(model: str, version: str) -> Response:
    """Reject a version that waits: it never serves."""
    name, version = administrator(), _named(model, version)
    slot = resources().slots.find(model)
    actor = actor_of(name, json_body())
    with exclusive_registry() as registry:
        models = registry.model(slot.model)
        models.manifest(version)
        _check_may_decide(models)
        decision = models.decisions.decide(version, "rejected", actor)
    slot.shared.request_refresh()
    return _decided(decision.model_dump(mode="json", exclude={"format", "signed"}))


@routes.post("/models/<model>/versions/<version>/promote")
def promote(model: str, version: str) -> Response:
    """Move the champion from `expected` to a version that was approved before."""
    name, version = administrator(), _named(model, version)
    slot = resources().slots.find(model)
    body = json_body()
    actor, expected = actor_of(name, body), version_in(body, "expected")
    with exclusive_registry() as registry:
        models = registry.model(slot.model)
        expected = expected or models.champion_version()
        record = Promotions(models).promote(version, expected=expected, actor=actor)
    slot.shared.request_refresh()
    return record_response(record)


@routes.post("/models/<model>/arrivals/<arrival>/accept")
def accept(model: str, arrival: str) -> Response:
    """Learn from a parked arrival; the next run continues with it."""
    return _review(model, arrival, "accepted")


@routes.post("/models/<model>/arrivals/<arrival>/exclude")
def exclude(model: str, arrival: str) -> Response:
    """Leave a parked arrival out of every snapshot."""
    return _review(model, arrival, "excluded")


def _review(model: str, arrival: str, verdict: Literal["accepted", "excluded"]) -> Response:
    name = administrator()
    slot = resources().slots.find(model)
    actor = actor_of(name, json_body())
    with exclusive_registry() as registry:
        bucket, reviews = registry.bucket, ArrivalReviews(registry.bucket, slot.model)
        known = keys.is_segment(arrival)
        if not known or not read(PendingReview, bucket, keys.pending_review(slot.model, arrival)):
            # Serving reads no tables, so it knows of an arrival only that it was parked.
            raise NothingParked(slot.model, arrival)
        review = reviews.decide(arrival, verdict, actor)
    slot.shared.request_refresh()
    return _decided(review.model_dump(mode="json"))


def _named(model: str, version: str) -> str:
    """The version in a path.

    Raises:
        NotServed: no version can have this name.
    """
    if not keys.is_version(version):
        loaded = resources().router.versions(model)
        raise NotServed(f"{version!r:.80} is not the name of a version", loaded)
    return version


def _check_may_decide(models: ModelRegistry) -> None:
    """Check that the key of this server may sign decisions, before one is stored that never counts.

    Raises:
        ConfigurationError: it may not, or there is none; says how to change that.
    """
    if models.trust is None or models.signer is None:
        return
    key = models.trust.keys.get(models.signer().key_id)
    if key is None or "decisions" not in key.rights:
        raise ConfigurationError(
            "this server's key may not sign decisions, so nothing was changed: `overnight keys "
            "rotate NAME --for operator` makes one that may; or decide by "
            "`overnight approve` and `overnight reject`"
        )


def _decided(record: dict[str, Any]) -> Response:
    return uncached(json_response({"record": record}))
