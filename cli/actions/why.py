"""`overnight why`: what changed since the champion was made, and what a run would do."""

import json
import sys
from collections.abc import Mapping

from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import new_table, open_console
from overnight.flows.run.dry_run import DryRun, dry_run
from overnight.infra.prefect_api import Document
from overnight.store.trust.request_proof import format_actor


def run(model: str, changed: Mapping[str, float | int | None], *, as_json: bool) -> None:
    """Print every axis, then what a run would do; exits with 4 when that is nothing.

    Raises:
        NotFound: nothing was ever ingested. StoreUnavailable: the store does not answer.
    """
    plan = dry_run(model, changed, ingest_first=True)
    if as_json:
        print(json.dumps(to_json(plan), indent=2))
    else:
        _print(model, plan)
    if not plan.would_train:
        sys.exit(NOTHING_TO_DO)


def to_json(plan: DryRun) -> Document:
    return {
        "champion": plan.champion.version if plan.champion else None,
        "made_because": plan.champion.run.why if plan.champion else "",
        "axes": [vars(axis) for axis in plan.axes],
        "arrivals": list(plan.arrivals),
        "parked": list(plan.parked),
        "prior_run": {"progress": str(plan.prior.progress), "message": plan.prior.message},
        "would_train": plan.would_train,
    }


def describe(plan: DryRun) -> str:
    """What a run would do, in a sentence; before it what waits for a person."""
    if not plan.parked:
        return _next_run(plan)
    names = ", ".join(plan.parked)
    wait = "waits" if len(plan.parked) == 1 else "wait"
    return f"{names} {wait} for `overnight accept` or `overnight exclude`. {_next_run(plan)}"


def _next_run(plan: DryRun) -> str:
    if plan.ends_waiting:
        first = f"ingests {', '.join(plan.arrivals)}, and " if plan.arrivals else ""
        return f"The next run {first}ends as AwaitingApproval before it trains."
    if plan.arrivals:
        return f"The next run ingests {', '.join(plan.arrivals)} and trains on it."
    if not plan.would_train:
        return f"The next run has nothing to do: {plan.prior.message}."
    if plan.prior.version:
        return f"The next run resumes an unfinished one: {plan.prior.message}."
    return "The next run trains."


def _print(model: str, plan: DryRun) -> None:
    console = open_console()
    if plan.champion is None:
        console.print(f"{model} has no champion yet.")
    else:
        if (run := plan.champion.run).why:
            by = format_actor(run.by, authenticated=run.authenticated)
            console.print(f"{plan.champion.version} was made because of: {run.why} (by {by})")
        console.print(f"{model}, since {plan.champion.version} was made:", style="bold")
        table = new_table("changed", "what", "details")
        for axis in plan.axes:
            mark = "yes" if axis.changed else "no"
            table.add_row(mark, axis.name, axis.detail, style="bold" if axis.changed else "")
        console.print(table)
    console.print(describe(plan))
