"""What the routes work with, and which of it the client of the current request may use."""

from dataclasses import dataclass, field

from flask import current_app, request

from overnight.serving.challenger.router import Router
from overnight.serving.errors import AdministrationClosed, UnknownToken
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.model_slots import ModelSlots
from overnight.serving.prediction_log.spool import PredictionSpool
from overnight.serving.rest.answering import Answering
from overnight.serving.rest.label_limit import DailyLabels, LabelSpool
from overnight.serving.rest.middleware.token_auth import Tokens, bearer, key_of
from overnight.serving.status import Status
from overnight.store.registry.registry import Registry


@dataclass(frozen=True)
class Resources:
    """Objects of one application.

    `registry` is where administrators write alias records, and `labels` where the labels of answers
    are kept; without it, none are taken. `peer_metrics` are the servers by whose names requests are
    counted, too.
    """

    router: Router
    limits: Limits
    status: Status
    answering: Answering
    keys: Tokens
    administrators: Tokens
    draining: DrainFlag
    # None where nothing is recorded: it is switched off, or this is a rehearsal.
    predictions: PredictionSpool | None = None
    registry: Registry | None = None
    labels: LabelSpool | None = None
    peer_metrics: tuple[str, ...] = ()
    daily_labels: DailyLabels = field(default_factory=DailyLabels)

    @property
    def slots(self) -> ModelSlots:
        return self.router.slots


def resources() -> Resources:
    """The resources of the application that handles the current request."""
    shared: Resources = current_app.extensions["overnight"]
    return shared


def administrator() -> str:
    """The name of the administrator whose token the current request carries.

    Raises:
        AdministrationClosed: no administrators are configured; names the setting.
        UnknownToken: no token, or an unknown one.
    """
    administrators = resources().administrators
    if not administrators.configured:
        raise AdministrationClosed
    name = administrators.name_of(bearer(request.headers.get("Authorization", "")))
    if name is None:
        raise UnknownToken("administration needs a token")
    return name


def may_list_models() -> bool:
    """Whether the client may see names and errors of models: it has a key, or none is required."""
    keys, administrators = resources().keys, resources().administrators
    key = key_of(request.environ)
    return not keys.configured or bool(keys.name_of(key) or administrators.name_of(key))
