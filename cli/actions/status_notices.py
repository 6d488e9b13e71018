"""What `overnight status` reports besides its tables: challenges, reviews, unloadable champions."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from overnight.cli.terminal import format_time
from overnight.cli.version_names import ShortNames
from overnight.infra.prefect_api import Document
from overnight.infra.settings import Settings
from overnight.infra.stack import local_secrets
from overnight.store.errors import OvernightError, StoreDenied, StoreUnavailable, UntrustedVersion
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.data.learned_arrivals import ArrivalVersions, open_reviews

# An older version that nobody decided about was compared with a champion that has long gone.
_NEWEST_VERSIONS = 20


def print_sign_in(settings: Settings, console: Console) -> None:
    """Print how a browser is let in by Prefect, with the password only on a terminal."""
    if how := local_secrets.prefect_sign_in(settings, to_terminal=console.is_terminal):
        # Unwrapped, so that it can be copied.
        console.print(how, soft_wrap=True)


def challenge(registry: ModelRegistry) -> Document | None:
    """The challenge that runs, or was withdrawn; None once it was stopped or became champion."""
    current = Challenges.of(registry).current()
    if current is None or current.became_champion:
        return None
    record, withdrawal = current.record, current.withdrawal
    return {
        **record.model_dump(mode="json", include={"version", "by", "reason", "terms"}),
        "since": record.at.isoformat(),
        "withdrawn": withdrawal.model_dump(mode="json") if withdrawal else None,
    }


def challenge_line(model: str, challenge: Document, short: ShortNames) -> str:
    """The challenge in one sentence."""
    terms = challenge["terms"] or {"mode": "nothing", "share": 0}
    unit = "clients" if terms["mode"] == "canary" else "requests"
    line = (
        f"{model}: {short(challenge['version'])} challenges as {terms['mode']} with "
        f"{terms['share']:.0%} of the {unit} since {format_time(challenge['since'])} UTC, "
        f"by {challenge['by']}: {challenge['reason']}"
    )
    if withdrawal := challenge["withdrawn"]:
        return f"{line}; withdrawn by {withdrawal['replica']}: {withdrawal['reason']}"
    return line


def pending_versions(registry: ModelRegistry, versions: Sequence[str]) -> list[str]:
    """The newest of some versions that passed their gates and wait for a person's decision."""
    newest = registry.readable_manifests(versions[-_NEWEST_VERSIONS:])
    return [
        version
        for version, manifest in newest.items()
        if manifest.approval == "manual" and registry.decisions.find(version) is None
    ]


def pending_reviews(
    bucket: Bucket, model: str, arrival_versions: Callable[[], ArrivalVersions]
) -> list[Document]:
    """The arrivals that wait for review, each with its time and findings.

    `arrival_versions` reads the dataset's arrivals; it is called only when any waits.
    """
    return [
        {
            "arrival": review.arrival,
            "since": review.at.isoformat(),
            "findings": [f"{finding.metric}: {finding.message}" for finding in review.findings],
        }
        for review in open_reviews(ModelRegistry(bucket, model), arrival_versions)
    ]


def review_lines(model: str, review: Document) -> Iterator[str]:
    """An arrival that waits for review, its findings, and the commands that decide about it."""
    arrival = review["arrival"]
    since = format_time(review["since"])
    yield f"{model}: arrival {arrival} waits for review since {since} UTC:"
    for finding in review["findings"]:
        yield f"  {finding}"
    for command, meaning in (("accept", "learn from it"), ("exclude", "leave it out")):
        yield f"  {meaning}: overnight {command} {model} {arrival} --reason …"


def uncounted(log: AliasLog) -> str:
    """Why the newest object of a log is no record that counts; empty when it is one."""
    numbers = log.sequences()
    entry = log.entry(numbers[-1]) if numbers else None
    return str(entry.problem) if entry is not None and entry.problem else ""


def unloadable_champions(bucket: Bucket, trust: Trust) -> Iterator[str]:
    """One line for each champion that serving cannot load, with what to do.

    Raises:
        StoreUnavailable, StoreDenied
    """
    registry = Registry(bucket, trust)
    for model in registry.models():
        try:
            log = registry.model(model).champion
            if problem := uncounted(log):
                yield f"the newest record of the champion of {model} does not count: {problem}"
            if (current := log.current()) is not None:
                registry.model(model).trusted(current.version)
        except UntrustedVersion as error:
            yield f"{error}. `overnight keys sign {model}` lists all such versions of {model}"
        # Without the store nothing is known about a champion: that is no damage of it.
        except (StoreUnavailable, StoreDenied):
            raise
        except OvernightError as error:
            yield f"the champion of {model} cannot be loaded: {error}"
