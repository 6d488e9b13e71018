"""Leave before anybody is asked for a run that would do nothing."""

import sys
from collections.abc import Mapping
from typing import Any

from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.flows.run.dry_run import dry_run
from overnight.flows.run.parameters import Begin
from overnight.store.errors import NotFound


def leave_unless_changed(
    model: str, changed: Mapping[str, Any], *, take_in: bool, begin: Begin = "as declared"
) -> None:
    """Leave with 4 when a run would find nothing to do; return when it would do something."""
    try:
        seen = dry_run(model, changed, take_in=take_in, begin=begin)
    except NotFound:
        return  # nothing was ever taken in, so the first night is still to come
    if not seen.would_train:
        print(f"{model}  UpToDate: {seen.memory.message}")
        sys.exit(NOTHING_TO_DO)
