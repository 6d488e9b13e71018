"""Decide about a version: by its gates when that is the policy, else by a person, later."""

from store.bucket import Bucket
from store.decisions import Decision, decide


def approve(
    bucket: Bucket, model: str, version: str, *, by: str, reason: str, proved: bool = False
) -> Decision:
    """Approve a version, or find it approved.

    Raises:
        AlreadyDecided: it was rejected.
    """
    verdict = Decision(
        model=model, version=version, verdict="approved", by=by, reason=reason, proved=proved
    )
    return decide(bucket, verdict)


def reject(
    bucket: Bucket, model: str, version: str, *, by: str, reason: str, proved: bool = False
) -> Decision:
    """Reject a version for ever.

    Raises:
        AlreadyDecided: it was approved.
    """
    verdict = Decision(
        model=model, version=version, verdict="rejected", by=by, reason=reason, proved=proved
    )
    return decide(bucket, verdict)
