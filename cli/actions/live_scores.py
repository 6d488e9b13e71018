"""What a version measured on what arrived while it served, as `show` and `status` tell it."""

from collections.abc import Sequence

from rich.table import Table

from overnight.cli.terminal import new_table
from overnight.infra.prefect_api import Document
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.live_scores import Score, latest
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.registry import ModelRegistry

_SHOWN = 10


def gather(bucket: Bucket, model: str, version: str) -> list[Document]:
    """Every score of a version, oldest first."""
    return [one.model_dump(mode="json") for one in ModelRegistry(bucket, model).scores(version)]


def newest(bucket: Bucket, model: str, version: str) -> Document | None:
    """The newest score of a version, without its slices."""
    found = latest(ModelRegistry(bucket, model).scores(version))
    if found is None:
        return None
    whole = tuple(one for one in found.measurements if not one.slice)
    return found.model_copy(update={"measurements": whole}).model_dump(mode="json")


def line(model: str, told: Document) -> str:
    """The newest score in words, beside what the holdout promised."""
    found = Score.model_validate(told)
    measured = found.headline
    figure = f"{measured.metric} {measured.value:.4g}" if measured else "nothing measured"
    promised = f"; {found.holdout.value:.4g} on the holdout" if found.holdout else ""
    return f"{model}: live {figure} over the {found.n:,} rows of {found.arrival}{promised}"


def table(told: Sequence[Document]) -> Table:
    """The newest scores, the last one last."""
    made = new_table("arrival", "metric", "live", "95 %", "on the holdout", "n", title="live")
    for found in [Score.model_validate(one) for one in told][-_SHOWN:]:
        measured = found.headline
        if measured is not None:
            promised = f"{found.holdout.value:.4f}" if found.holdout else ""
            words = (f"{measured.value:.4f}", _interval(measured), promised, f"{found.n:,}")
            made.add_row(found.arrival, measured.metric, *words)
    return made


def _interval(measured: Measurement) -> str:
    known = measured.low is not None and measured.high is not None
    return f"{measured.low:.4f}–{measured.high:.4f}" if known else ""
