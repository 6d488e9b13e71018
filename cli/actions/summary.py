"""`overnight summary`: all models at a glance."""

import json
import sys

from overnight.flows.run.summary_facts import gather
from overnight.infra.settings import load
from overnight.tasks.reporting.summary import as_document, as_text


def run(*, as_json: bool) -> None:
    """Print the summary as text of 80 columns, or as JSON.

    Raises:
        SystemExit: with 1, when the store or Prefect does not answer.
    """
    summary = gather(load())
    if as_json:
        print(json.dumps(as_document(summary), indent=2))
    else:
        print(as_text(summary), end="")
    sys.exit(1 if summary.problems else 0)
