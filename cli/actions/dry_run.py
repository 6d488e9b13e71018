"""`overnight retrain --if-changed`: exit when a run would do nothing."""

import sys
from collections.abc import Mapping
from typing import Any

from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.flows.run.dry_run import dry_run
from overnight.flows.run.parameters import StartFrom
from overnight.store.errors import NotFound


def exit_unless_changed(
    model: str,
    changed: Mapping[str, Any],
    *,
    ingest_first: bool,
    start_from: StartFrom = "as declared",
) -> None:
    """Exit with 4 when a run would find nothing to do; return when it would do something."""
    try:
        plan = dry_run(model, changed, ingest_first=ingest_first, start_from=start_from)
    except NotFound:
        return  # nothing was ever ingested, so the first run is still to come
    if not plan.would_train:
        waits = f"AwaitingApproval: {', '.join(plan.parked)}"
        print(f"{model}  {waits if plan.ends_waiting else f'UpToDate: {plan.prior.message}'}")
        sys.exit(NOTHING_TO_DO)
