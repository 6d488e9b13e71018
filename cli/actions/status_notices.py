"""What `overnight status` reports besides its tables: challenges, reviews, unloadable champions."""

from collections.abc import Callable, Iterator

from overnight.infra.prefect_api import Document
from overnight.store.errors import OvernightError, StoreDenied, StoreUnavailable, UntrustedVersion
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.data.learned_arrivals import ArrivalVersions, open_reviews


def challenge(bucket: Bucket, model: str) -> Document | None:
    """The challenge that runs, or was withdrawn; None once it was stopped or became champion."""
    current = Challenges(bucket, model).current()
    if current is None or current.became_champion:
        return None
    record, withdrawal = current.record, current.withdrawal
    return {
        **record.model_dump(mode="json", include={"version", "by", "reason", "terms"}),
        "since": record.at.isoformat(),
        "withdrawn": withdrawal.model_dump(mode="json") if withdrawal else None,
    }


def challenge_line(model: str, found: Document) -> str:
    """The same in words."""
    terms = found["terms"] or {"mode": "nothing", "share": 0}
    of_whom = "of the clients" if terms["mode"] == "canary" else "of the requests"
    words = (
        f"{model}: {found['version']} challenges as {terms['mode']} with {terms['share']:.0%} "
        f"{of_whom} since {found['since'][:19]}, by {found['by']}: {found['reason']}"
    )
    gone = found["withdrawn"]
    return f"{words}; withdrawn by {gone['replica']}: {gone['reason']}" if gone else words


def pending_reviews(
    bucket: Bucket, model: str, came: Callable[[], ArrivalVersions]
) -> list[Document]:
    """The arrivals that wait, each with since when and what was found of it.

    `came` is asked for the arrivals of the dataset, with the version of each, when any waits.
    """
    return [
        {
            "arrival": held.arrival,
            "since": held.at.isoformat(),
            "findings": [f"{finding.metric}: {finding.message}" for finding in held.findings],
        }
        for held in open_reviews(ModelRegistry(bucket, model), came)
    ]


def review_lines(model: str, held: Document) -> Iterator[str]:
    """What waits, why, and how to say a word about it."""
    arrival = held["arrival"]
    yield f"{model}: arrival {arrival} waits for your word since {held['since'][:19]}:"
    for finding in held["findings"]:
        yield f"  {finding}"
    for word, meaning in (("accept", "learn from it"), ("exclude", "leave it out")):
        yield f"  {meaning}: overnight {word} {model} {arrival} --reason …"


def unloadable_champions(bucket: Bucket, trust: Trust) -> Iterator[str]:
    """One line for each champion that serving cannot load, with what to do.

    Raises:
        StoreUnavailable, StoreDenied: nothing is known.
    """
    registry = Registry(bucket, trust)
    for model in registry.models():
        try:
            current = registry.model(model).champion_version()
            if current is None:
                continue
            registry.model(model).trusted(current)
        except UntrustedVersion as error:
            yield f"{error}. `overnight keys sign {model}` lists all of {model} that are like it"
        except (StoreUnavailable, StoreDenied):
            raise
        except OvernightError as error:
            yield f"the champion of {model} cannot be loaded: {error}"
