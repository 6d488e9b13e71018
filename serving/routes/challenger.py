"""Challenging the champion by hand: who may start and stop it, and how it stands."""

from typing import Any

from flask import Blueprint, Response
from pydantic import ValidationError

from serving.routes.administration import administrator
from serving.routes.bodies import answer, body_bytes, json_object, slot
from serving.routes.changing import alone, reason_of, version_of
from serving.routes.failures import failure
from serving.standing import Standing
from store import challenging as rules
from store.aliases import AliasRecord
from store.errors import BadInput, ConfigurationError, CorruptVersion, OvernightError
from store.terms import Terms

routes = Blueprint("challenger", __name__, url_prefix="/api")


@routes.post("/models/<model>/challenger")
def start(model: str) -> Response:
    """Let `version` challenge the champion, in the `mode` and on the terms that are given."""
    by = administrator()
    found = slot(model)
    asked = json_object(body_bytes())
    version, reason, terms = version_of(asked, "version"), reason_of(asked), _terms(asked)
    if version is None:
        raise BadInput("version", expected="the name of a version", found="nothing")
    with alone() as bucket:
        record = rules.start(
            bucket, found.model, version, terms=terms, by=by, reason=reason, proved=True
        )
    found.board.ask()
    return _told(record, status=201)


@routes.delete("/models/<model>/challenger")
def stop(model: str) -> Response:
    """Stop the challenger `expected`, or whichever runs; the champion then gets all traffic."""
    by = administrator()
    found = slot(model)
    asked = json_object(body_bytes())
    reason, expected = reason_of(asked), version_of(asked, "expected")
    with alone() as bucket:
        record = rules.stop(bucket, found.model, by=by, reason=reason, over=expected, proved=True)
    found.board.ask()
    return _told(record)


def challenging(standing: Standing | None) -> dict[str, Any] | None:
    """A challenge as JSON, null when there is none."""
    if standing is None:
        return None
    record, tally = standing.record, standing.tally
    slowdown = tally.slowdown
    return {
        "version": record.version,
        "mode": standing.terms.mode,
        "share": standing.terms.share,
        "since": record.at.isoformat(),
        "by": record.by,
        "reason": record.reason,
        "requests": tally.requests,
        "errors": tally.errors,
        "compared": tally.compared,
        "disagreements": round(tally.disagreements, 3),
        "dropped": tally.dropped,
        "slowdown": None if slowdown is None else round(slowdown, 3),
        "withdrawn": standing.withdrawn,
    }


def _told(record: AliasRecord, *, status: int = 200) -> Response:
    told = record.model_dump(mode="json", exclude={"format", "id"})
    response = answer({"record": told}, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


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
def _on_what_may_not(error: OvernightError) -> Response:
    return failure(409, str(error))
