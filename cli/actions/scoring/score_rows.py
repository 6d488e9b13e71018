"""`overnight score`: score the rows of a file or a table in this process."""

import json
from collections.abc import Sequence

from overnight.cli.runs.exit_codes import DONE, FAILED, NOTHING_TO_DO
from overnight.cli.runs.follow import user
from overnight.cli.terminal import counting_bar, open_console
from overnight.cli.version_names import resolve
from overnight.infra import connections
from overnight.infra.cores import cores
from overnight.infra.settings import load
from overnight.models.errors import UnknownModel
from overnight.store.objects import keys
from overnight.store.predictions.tables import PredictionTable
from overnight.store.registry.registry import Registry
from overnight.tasks.scoring.batch_score import BatchScored, ScoreRequest, batch_score
from overnight.tasks.scoring.places import RowsPlace, parts_folder


def run(
    model: str,
    rows: str,
    output: str,
    *,
    version: str | None,
    keep: Sequence[str] | None,
    outputs: Sequence[str],
    record: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Score all rows, or what an interrupted run left of them; returns the exit code.

    Raises:
        UnknownModel, BadFile, ConfigurationError, UnknownVersion, UntrustedVersion, CorruptVersion
        StoreUnavailable, StoreDenied, OSError: what is done stays; run it again.
    """
    settings = load()
    keys.check_model(model)
    bucket = connections.bucket(settings)
    registry = Registry(bucket, connections.trust(settings))
    if model not in (known := registry.models()):
        # Late: it imports the definitions, and a model that has versions needs none here.
        from overnight import models

        raise UnknownModel(model, tuple(sorted({*known, *models.names()})))
    store = connections.rows_store(settings, model)
    target = RowsPlace.parse(output, store, written=True)
    request = ScoreRequest(
        model=model,
        input=RowsPlace.parse(rows, store),
        output=target,
        parts=parts_folder(target, settings.home / "work" / model / "scoring"),
        version=version and resolve(bucket, model, version),
        keep=keep,
        outputs=outputs,
        client=user(),
        record=record,
        overwrite=overwrite,
        threads=cores(),
    )
    log = PredictionTable.on_s3(connections.address(settings), model)
    with counting_bar(rows) as report:
        scored = batch_score(registry.model(model), log, request, report=report)
    if as_json:
        print(json.dumps(_document(scored), indent=2))
    else:
        _print(scored)
    return _code(scored)


def _code(scored: BatchScored) -> int:
    if not scored.is_new or not scored.state.read:
        return NOTHING_TO_DO
    return FAILED if scored.state.rejected else DONE


def _document(scored: BatchScored) -> dict[str, object]:
    state = scored.state
    return {
        **state.model_dump(mode="json", include={"model", "version", "input", "output", "columns"}),
        "rows": state.read,
        "scored": state.scored,
        "rejected": state.rejected,
        "rejected_file": scored.rejected_file or None,
        "resumed_rows": scored.resumed,
        "is_new": scored.is_new,
        "seconds": round(scored.seconds, 3),
        "batch_rows": scored.batch_rows or None,
    }


def _print(scored: BatchScored) -> None:
    state, console = scored.state, open_console()
    if not scored.is_new:
        console.print(
            f"{state.output} has the {state.scored:,} answers of {state.version} to {state.input} "
            "already; add --overwrite to score them again"
        )
        return
    if not state.read:
        console.print(f"{state.input} has no rows")
        return
    resumed = f", {scored.resumed:,} of them earlier" if scored.resumed else ""
    console.print(
        f"{state.scored:,} rows scored by {state.version} in {scored.seconds:,.1f} s{resumed}: "
        f"{state.output}"
    )
    if state.rejected:
        console.print(f"{state.rejected:,} rows do not fit: {scored.rejected_file}")
