"""Arrivals that wait for a person's word, as `overnight status` tells them."""

from collections.abc import Iterator

from infra.prefect_api import Document
from store import arrivals
from store.bucket import Bucket


def gather(bucket: Bucket, model: str) -> list[Document]:
    """The arrivals that wait, each with since when and what was found of it."""
    return [
        {
            "arrival": held.arrival,
            "since": held.at.isoformat(),
            "findings": [f"{finding.metric}: {finding.message}" for finding in held.findings],
        }
        for held in arrivals.waiting(bucket, model)
    ]


def lines(model: str, held: Document) -> Iterator[str]:
    """What waits, why, and how to say a word about it."""
    arrival = held["arrival"]
    yield f"{model}: arrival {arrival} waits for your word since {held['since'][:19]}:"
    for finding in held["findings"]:
        yield f"  {finding}"
    for word, meaning in (("accept", "learn from it"), ("exclude", "leave it out")):
        yield f"  {meaning}: overnight {word} {model} {arrival} --reason …"
