"""Runs flows in the environment of a user's project: one line of JSON in, one out for each model.

Started by `shop.py` with the project's own Python, in the project's folder; it imports nothing of
the tests. A line is `{"churn": {"force": true}}`: parameters of `retrain` by model.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

# A fit, an export and a rehearsal are processes of their own, which wait for imports and sockets.
AT_ONCE = 3


def main() -> None:
    replies, sys.stdout = sys.stdout, sys.stderr
    from overnight.flows.retrain import retrain
    from overnight.tasks import outcomes

    def run(model: str, parameters: dict) -> dict:
        began = time.monotonic()
        # What a run raises is the message of its state, as in the Prefect UI.
        state = retrain(model, return_state=True, **parameters)
        end = outcomes.read(state.name, state.message)
        ended = {"outcome": end.outcome, "message": end.message}
        return {"model": model, **ended, "seconds": time.monotonic() - began}

    for line in sys.stdin:
        wanted = json.loads(line)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for reply in threads.map(run, wanted, wanted.values()):
                print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
