"""Rolling back by hand: one more record in the champion's log, written for an administrator."""

from flask import Blueprint, Response

from serving.routes.administration import administrator
from serving.routes.bodies import answer, body_bytes, json_object, slot
from serving.routes.changing import alone, reason_of, version_of
from serving.routes.failures import failure
from store import promotion
from store.aliases import AliasLog, AliasRecord
from store.bucket import Bucket
from store.errors import ConfigurationError, CorruptVersion, OvernightError, PromotionConflict

routes = Blueprint("rollback", __name__, url_prefix="/api")


@routes.post("/models/<model>/rollback")
def roll_back(model: str) -> Response:
    """Point the champion from `expected` to `to`.

    Without `expected`, from whatever is champion now; without `to`, to what served before it.
    """
    by = administrator()
    found = slot(model)
    asked = json_object(body_bytes())
    reason, expected, to = reason_of(asked), version_of(asked, "expected"), version_of(asked, "to")
    with alone() as bucket:
        record = _rolled_back(bucket, found.model, over=expected, to=to, by=by, reason=reason)
    # Nobody waits for the next poll to see what they have done.
    found.board.ask()
    response = answer({"record": record.model_dump(mode="json", exclude={"format", "id"})})
    response.headers["Cache-Control"] = "no-store"
    return response


def _rolled_back(
    bucket: Bucket, model: str, *, over: str | None, to: str | None, by: str, reason: str
) -> AliasRecord:
    if over is None:
        current = AliasLog(bucket, model).current()
        over = current.version if current else None
    record = promotion.roll_back(bucket, model, over=over, to=to, by=by, reason=reason, proved=True)
    if to is not None and record.version != to:
        # Somebody rolled back from the same champion first, and to something else.
        raise PromotionConflict(f"{model}@champion", expected=over, found=record.version)
    return record


@routes.errorhandler(ConfigurationError)
@routes.errorhandler(CorruptVersion)
def _on_what_may_not(error: OvernightError) -> Response:
    """Nothing to roll back to, or not to that: the log and the versions say so."""
    return failure(409, str(error))
