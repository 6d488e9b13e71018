"""What `overnight status` tells of a challenger."""

from infra.prefect_api import Document
from store import challenging
from store.bucket import Bucket


def gather(bucket: Bucket, model: str) -> Document | None:
    """The challenge that runs, or was withdrawn; None once it was stopped or became champion."""
    challenge = challenging.current(bucket, model)
    if challenge is None or challenge.became_champion:
        return None
    record, withdrawal = challenge.record, challenge.withdrawal
    return {
        **record.model_dump(mode="json", include={"version", "by", "reason", "terms"}),
        "since": record.at.isoformat(),
        "withdrawn": withdrawal.model_dump(mode="json") if withdrawal else None,
    }


def line(model: str, told: Document) -> str:
    """The same in words."""
    terms = told["terms"] or {"mode": "nothing", "share": 0}
    of_whom = "of the clients" if terms["mode"] == "canary" else "of the requests"
    words = (
        f"{model}: {told['version']} challenges as {terms['mode']} with {terms['share']:.0%} "
        f"{of_whom} since {told['since'][:19]}, by {told['by']}: {told['reason']}"
    )
    gone = told["withdrawn"]
    return f"{words}; withdrawn by {gone['replica']}: {gone['reason']}" if gone else words
