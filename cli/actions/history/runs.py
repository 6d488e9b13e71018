"""`overnight runs`: the latest runs, with their outcome and duration."""

import json
import sys

from overnight.cli.actions.run_table import print_runs
from overnight.cli.runs import listing
from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import open_console
from overnight.cli.version_names import check_known
from overnight.cli.watch import watch
from overnight.infra import connections
from overnight.infra.settings import load


def run(model: str | None, *, flow: str | None, limit: int, watching: bool, as_json: bool) -> None:
    """Print the latest runs; exits with 4 when there is none.

    Raises:
        UnknownModel, WrongArgument, OrchestratorUnavailable, OrchestratorRefused
    """
    settings, console = load(), open_console()
    if model is not None:
        check_known(connections.bucket(settings), model)
    api = connections.prefect(settings)

    def draw() -> bool:
        runs = listing.recent(api, limit=limit, model=model, flow=flow)
        if as_json:
            print(json.dumps(runs, indent=2))
        elif runs:
            print_runs(runs, console, ids=True)
        else:
            console.print("no run has begun yet")
        return bool(runs)

    if watching:
        watch(draw, console)
    elif not draw():
        sys.exit(NOTHING_TO_DO)
