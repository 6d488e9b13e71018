"""A bucket with a past: versions with gates, decisions and moves of the champion."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from overnight.store.objects.bucket import Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.decision import Verdict
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.manifest import Finding, Manifest, Measurement, RunLineage
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import entries
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, registry

MODEL = bundles.MODEL
# Why a candidate was refused.
REGRESSION = Finding(
    gate="MaximumRegression",
    metric="accuracy",
    passed=False,
    message="worse",
    value=-0.0041,
    bound=-0.003,
    p=0.85,
    alpha=0.025,
    presumed="worse",
    candidate=0.9907,
    champion=0.9948,
)
REPORT = b"<!doctype html><title>A report</title><h1>What the run told</h1>"


def hand_over(bucket: Bucket) -> None:
    """Two versions: the first served and gave way to the second."""
    for number in (1, 2):
        publish(bucket, number)
        promote(bucket, number)


def findings(number: int) -> Iterator[Finding]:
    """Gates as a night leaves them: comfortable, narrow, failed, and not applicable."""
    accuracy = 0.9931 + number / 2000
    yield _finding("AtLeast", "accuracy", accuracy, 0.99)
    for digit in ("1", "7"):
        yield _finding("AtLeast", "recall", 0.9712, 0.97, slice=f"digit {digit}", n=1_028)
    yield _finding("AtMost", "calibration error", 0.0012 * number, 0.01)
    yield _finding("BetterThan", "accuracy", accuracy - 0.0015, 0.1135)
    yield _finding("SamePredictions", "changed answers", 0.0, 0.0)
    yield _finding("WithinBudget", "p99_ms", 3.1 + 9 * (number == 4), 10.0, n=None)
    if number == 1:
        yield Finding(
            gate="MaximumRegression", metric="accuracy", passed=True, applicable=False,
            message="no champion to compare with",
        )  # fmt: skip
    else:
        yield _finding("MaximumRegression", "accuracy", -0.0008, -0.002)


def manifest(number: int, files: dict[str, bytes]) -> Manifest:
    accuracy = 0.9931 + number / 2000
    return bundles.manifest(number, files).model_copy(
        update={
            "created_at": datetime.now(UTC) - timedelta(days=6 - number, hours=5),
            "measurements": (
                Measurement(
                    metric="accuracy", value=accuracy, n=10_000, low=accuracy - 0.0015,
                    high=accuracy + 0.0012,
                ),
                Measurement(metric="accuracy", value=math.nan, n=0, slice="digit 1"),
            ),
            "findings": tuple(findings(number)),
            "compared_with": bundles.version_name(number - 1) if number > 1 else None,
            "run": RunLineage(
                id=f"run-{number}", name=f"swift-heron-{number}",
                url=f"http://127.0.0.1:4200/runs/flow-run/{number}",
            ),
        }
    )  # fmt: skip


def publish(bucket: Bucket, number: int, *, approved: bool | None = True) -> str:
    """Publish version `number`, and decide about it unless `approved` is None."""
    files = bundles.files(number) | {"report.html": REPORT}
    made = manifest(number, files)
    assert made.files == entries(files)
    ModelRegistry(bucket, made.model).publish(made, files, SIGNER)
    if approved is not None:
        actor = Actor("ada" if approved else "its gates", "the gates passed and it reads well")
        verdict: Verdict = "approved" if approved else "rejected"
        registry(bucket, MODEL).decisions.decide(made.version, verdict, actor)
    return made.version


def promote(
    bucket: Bucket, number: int, *, by: str = "schedule", reason: str = "retrained at night"
) -> AliasRecord:
    """Make version `number` champion over whatever is."""
    signing = registry(bucket, MODEL)
    expected = signing.champion_version()
    return Promotions(signing).promote(
        bundles.version_name(number), expected=expected, actor=Actor(by, reason)
    )


def score(
    bucket: Bucket, number: int, arrival: str, value: float = 0.99, *, n: int = 1_000, at: datetime
) -> Score:
    """Let version `number` have been measured on an arrival."""
    version = bundles.version_name(number)
    half = 1.96 * math.sqrt(value * (1 - value) / n)
    whole = Measurement(metric="accuracy", value=value, n=n, low=value - half, high=value + half)
    return LiveScores(bucket, MODEL).keep(
        Score(
            model=MODEL,
            version=version,
            arrival=arrival,
            n=n,
            at=at,
            measurements=(whole, whole.model_copy(update={"slice": "digit 1", "n": n // 10})),
            holdout=manifest(number, {}).measured("accuracy"),
        )
    )


def _finding(
    gate: str, metric: str, value: float, bound: float, *, slice: str = "", n: int | None = 10_000
) -> Finding:
    lower = gate in {"AtMost", "WithinBudget", "SamePredictions"}
    return Finding(
        gate=gate, metric=metric, slice=slice, value=value, bound=bound, n=n,
        passed=value <= bound if lower else value >= bound,
        message=f"{value:.4g}, at {'most' if lower else 'least'} {bound:g}",
    )  # fmt: skip
