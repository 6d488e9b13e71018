"""Feedback: clients send the truth of rows that were answered."""

import re
import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from overnight.serving.errors import (
    BadInput,
    LabelsNotKept,
    LimitExceeded,
    NoFeedback,
    PredictionLogOff,
    WrongContentType,
)
from overnight.serving.inference.codecs.content_types import JSON
from overnight.serving.inference.error_text import kind_of, names_in
from overnight.serving.inference.truths import truth_of
from overnight.serving.rest.answering import client_of
from overnight.serving.rest.bodies import json_body, json_response, uncached
from overnight.serving.rest.headers import ADMITTED, CLIENT
from overnight.serving.rest.label_limit import LabelSpool
from overnight.serving.rest.resources import resources
from overnight.store.predictions.records import LabelOrigin, SentLabel
from overnight.store.registry.manifest import LogPolicy
from overnight.store.schema import Schema

routes = Blueprint("feedback", __name__, url_prefix="/api")

MOST_LABELS = 1_000
_BODY_BYTES = 4_000_000
_CALLER_CHARACTERS = 256
_MOST_ROW = 2**31 - 1
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FIELDS = frozenset({"request", "caller", "row", "truth"})
_ORIGINS: dict[Any, LabelOrigin] = {"api": "api", "page": "page", "file": "file"}


@dataclass(frozen=True)
class _Sender:
    model: str
    client: str
    authenticated: bool
    origin: LabelOrigin


@routes.post("/models/<model>/feedback")
def feedback(model: str) -> Response:
    """Keep the labels that are valid, and say by position why the others are not."""
    with resources().router.lease(model) as loaded:
        manifest = loaded.manifest
        policy, spool = manifest.logged, resources().labels
        if policy is None or not policy.feedback:
            raise NoFeedback(model)
        if spool is None:
            raise PredictionLogOff
        sent, sender = _body(model, policy)
        labels, refused = _checked(sent, manifest.tensors, sender)
        kept = _keep(spool, labels, policy, sender, refused)
        body = {"model": model, "accepted": kept, "refused": _report(refused)}
        return uncached(json_response(body, status=200 if kept else 400))


def _body(model: str, policy: LogPolicy) -> tuple[list[Any], _Sender]:
    """The labels of the request's body: those of `labels`, or the one that it is itself.

    Raises:
        WrongContentType: it is not declared as JSON. A page of another origin may send forms and
            plain texts from the browser of a visitor, but not JSON without the server's consent.
    """
    if request.mimetype != JSON:
        raise WrongContentType("Content-Type", expected=JSON, found=request.mimetype[:80] or "none")
    if (request.content_length or 0) > _BODY_BYTES:
        raise LimitExceeded("the body", expected=f"at most {_BODY_BYTES} bytes", found="more")
    body = json_body()
    origin = body.pop("origin", "api")
    if not isinstance(origin, str) or origin not in _ORIGINS:
        raise BadInput("origin", expected=" or ".join(_ORIGINS), found=kind_of(origin))
    sent = body["labels"] if set(body) == {"labels"} else [body]
    if not isinstance(sent, list) or not sent:
        raise BadInput("labels", expected="a list with one label at least", found=kind_of(sent))
    if len(sent) > MOST_LABELS:
        expected = f"at most {MOST_LABELS} in a request; send them in several"
        raise LimitExceeded("labels", expected=expected, found=f"{len(sent)}")
    return sent, _sender(model, policy, _ORIGINS[origin])


def _sender(model: str, policy: LogPolicy, origin: LabelOrigin) -> _Sender:
    """Who sends: a key vouches for the clients behind it; without one it is the address."""
    environ = request.environ
    authenticated = CLIENT in environ
    client = client_of(environ) if authenticated else environ[ADMITTED]
    return _Sender(model, policy.recorded_client(model, client), authenticated, origin)


def _checked(
    sent: list[Any], tensors: Schema, sender: _Sender
) -> tuple[list[tuple[int, SentLabel]], dict[int, str]]:
    """The valid labels with their positions, and why the others are not, by position."""
    labels, refused = [], {}
    # The time of receipt decides which label is first: of one body, in the order of the body.
    now = time.time_ns() // 1_000
    for position, each in enumerate(sent):
        try:
            labels.append((position, _label(each, tensors, sender, now + position)))
        except BadInput as error:
            refused[position] = str(error)
    return labels, refused


def _label(sent: Any, tensors: Schema, sender: _Sender, at_us: int) -> SentLabel:
    """One label.

    Raises:
        BadInput: names the field.
    """
    if not isinstance(sent, dict) or not sent.keys() <= _FIELDS:
        sent_as = f"the fields {names_in(sent)}" if isinstance(sent, dict) else kind_of(sent)
        raise BadInput("label", expected="request or caller, row and truth", found=sent_as)
    by = [name for name in ("request", "caller") if name in sent]
    if len(by) != 1:
        expected = "the request id of the answer, or else `caller`, your own id"
        raise BadInput("request", expected=expected, found="both" if by else "neither")
    if "truth" not in sent:
        raise BadInput("truth", expected="what was true", found="nothing")
    row = sent.get("row", 0)
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row <= _MOST_ROW:
        raise BadInput("row", expected="the row of the request, from 0", found=kind_of(row)[:60])
    return SentLabel(
        request=_request_id(sent["request"]) if "request" in sent else "",
        caller=_caller(sent["caller"]) if "caller" in sent else "",
        row=row,
        at_us=at_us,
        model=sender.model,
        truth=truth_of(sent["truth"], tensors),
        client=sender.client,
        origin=sender.origin,
        authenticated=sender.authenticated,
    )


def _request_id(sent: Any) -> str:
    if not isinstance(sent, str) or not _REQUEST_ID.fullmatch(sent):
        expected = "the X-Request-Id of the answer"
        raise BadInput("request", expected=expected, found=kind_of(sent)[:100])
    return sent


def _caller(sent: Any) -> str:
    if not isinstance(sent, str) or not 0 < len(sent) <= _CALLER_CHARACTERS:
        expected = f"the `id` of the request, 1 to {_CALLER_CHARACTERS} characters"
        raise BadInput("caller", expected=expected, found=kind_of(sent)[:100])
    return sent


def _keep(
    spool: LabelSpool,
    labels: list[tuple[int, SentLabel]],
    policy: LogPolicy,
    sender: _Sender,
    refused: dict[int, str],
) -> int:
    """Keep the labels that are within the limit of the client's day; how many were kept.

    Raises:
        TooManyLabels: none is.
        LabelsNotKept: the spool could not take them; none is kept.
    """
    limit, daily = resources().daily_labels, policy.labels_per_client_daily
    # By what the client is limited otherwise: `X-Client-Key` is anything that a client likes.
    client = request.environ[ADMITTED]
    within = limit.take(sender.model, client, len(labels), daily=daily)
    for position, _ in labels[within:]:
        refused[position] = f"the limit of {daily:,} labels a day is reached; send it tomorrow"
    if within and not spool.offer_labels([label for _, label in labels[:within]]):
        limit.give_back(sender.model, client, within)
        raise LabelsNotKept
    return within


def _report(refused: dict[int, str]) -> list[dict[str, Any]]:
    return [{"label": position, "error": why} for position, why in sorted(refused.items())]
