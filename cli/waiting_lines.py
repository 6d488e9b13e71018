"""Arrivals that wait for a person's word, as `overnight status` tells them."""

from collections.abc import Callable, Iterator

from infra.prefect_api import Document
from store.bucket import Bucket
from tasks.learned import Came, waiting


def gather(bucket: Bucket, model: str, came: Callable[[], Came]) -> list[Document]:
    """The arrivals that wait, each with since when and what was found of it.

    `came` is asked for the arrivals of the dataset, with the version of each, when any waits.
    """
    return [
        {
            "arrival": held.arrival,
            "since": held.at.isoformat(),
            "findings": [f"{finding.metric}: {finding.message}" for finding in held.findings],
        }
        for held in waiting(bucket, model, came)
    ]


def lines(model: str, held: Document) -> Iterator[str]:
    """What waits, why, and how to say a word about it."""
    arrival = held["arrival"]
    yield f"{model}: arrival {arrival} waits for your word since {held['since'][:19]}:"
    for finding in held["findings"]:
        yield f"  {finding}"
    for word, meaning in (("accept", "learn from it"), ("exclude", "leave it out")):
        yield f"  {meaning}: overnight {word} {model} {arrival} --reason …"
