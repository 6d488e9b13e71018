"""State of an alias on disk: what an earlier release wrote is read."""

import json

from overnight.serving.host.alias_state import AliasState
from tests.support.serving.challenges import SHADOW, started


def test_an_ended_challenge_of_an_earlier_release_is_read(tmp_path):
    record = started(2, SHADOW)
    earlier = {
        "record": record.model_dump(mode="json", by_alias=True),
        "how": "withdrawn",
        "reason": "too slow",
        "replica": "host",
        "at": "2026-11-22T02:00:00Z",
        "tally": {"record": record.id, "model": "digits", "version": "v", "mode": "shadow"},
        "told": True,
    }
    (tmp_path / "ended.json").write_text(json.dumps(earlier))

    ended = AliasState(tmp_path).ended_challenge()

    assert (ended.outcome, ended.recorded, ended.stats.mode) == ("withdrawn", True, "shadow")
    assert ended.record == record
