"""Live scores of a version on arrivals, for `show` and `status`."""

from collections.abc import Sequence

from rich.table import Table

from overnight.cli.terminal import new_table
from overnight.infra.prefect_api import Document
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.live_scores import LiveScores, Score, latest
from overnight.store.registry.manifest import Measurement

_SHOWN = 10


def gather(bucket: Bucket, model: str, version: str) -> list[Document]:
    """Every score of a version, oldest first."""
    return [
        score.model_dump(mode="json") for score in LiveScores(bucket, model).of_version(version)
    ]


def newest(bucket: Bucket, model: str, version: str) -> Document | None:
    """The newest score of a version, without its slices."""
    score = latest(LiveScores(bucket, model).of_version(version))
    if score is None:
        return None
    overall = tuple(measured for measured in score.measurements if not measured.slice)
    return score.model_copy(update={"measurements": overall}).model_dump(mode="json")


def line(model: str, document: Document) -> str:
    """The newest score in one sentence, compared with the holdout."""
    score = Score.model_validate(document)
    measured = score.headline
    live = f"{measured.metric} {measured.value:.4g}" if measured else "nothing measured"
    holdout = f"; {score.holdout.value:.4g} on the holdout" if score.holdout else ""
    return f"{model}: live {live} over the {score.n:,} rows of {score.arrival}{holdout}"


def table(documents: Sequence[Document]) -> Table:
    """The newest scores, the last one last."""
    scores = new_table("arrival", "metric", "live", "95 %", "on the holdout", "n", title="live")
    for score in [Score.model_validate(document) for document in documents][-_SHOWN:]:
        measured = score.headline
        if measured is not None:
            scores.add_row(
                score.arrival,
                measured.metric,
                f"{measured.value:.4f}",
                interval(measured),
                f"{score.holdout.value:.4f}" if score.holdout else "",
                f"{score.n:,}",
            )
    return scores


def interval(measured: Measurement) -> str:
    """The 95 % interval; empty where none was computed."""
    if measured.low is None or measured.high is None:
        return ""
    return f"{measured.low:.4f}–{measured.high:.4f}"
