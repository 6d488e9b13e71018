"""Runs, promotions, requests and random faults together: nothing is lost and no request fails."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from overnight.store.datasets.delta_table import Dataset
from overnight.store.objects.s3 import S3Bucket
from overnight.tasks.maintenance import audit as verify
from tests.support.faults.pipeline_processes import check_invariants
from tests.support.faults.pipeline_run import DELIVERED_ROWS, MODEL
from tests.support.faults.soak import soak_environment, soak_for
from tests.support.faults.tally import TALLY
from tests.support.signing_keys import TRUST, alias_log

_SECONDS, _THOROUGH_SECONDS = 40, 75

pytestmark = pytest.mark.servers


@pytest.mark.timeout(0)
def test_after_a_soak_nothing_is_lost_and_no_request_failed(
    tmp_path: Path, faults_minutes: float, seed_of: Callable[[str], str], thorough: bool
) -> None:
    with soak_environment(tmp_path, seed_of) as soak:
        seconds = 60 * faults_minutes or (_THOROUGH_SECONDS if thorough else _SECONDS)
        clients = soak_for(soak, seconds, random.Random(seed_of("strikes")))

        # Every answer came, and was that of the version it named.
        assert clients.failures == []
        assert clients.sent > seconds
        assert len(clients.seen) > 1

        # Every row that arrived is there once, every champion that ever was can be read.
        champions = check_invariants(soak.context, [], "after the soak")
        rows = soak.context.table("rows").read(columns=["digest"]).num_rows
        TALLY.holds(rows == DELIVERED_ROWS * (1 + soak.arrivals), "rows of an arrival")
        TALLY.holds(clients.seen <= set(champions), "a version that had answered")

        audit = verify.verify(
            verify.AuditContext(
                S3Bucket(soak.context.address),
                lambda model, name: Dataset.on_s3(soak.context.address, model, name),
                TRUST,
            )
        )
        for finding in audit.findings:
            TALLY.lose(f"what verify misses: {finding.key}")
        assert audit.is_clean, audit.findings
        assert audit.signatures_checked
        assert alias_log(S3Bucket(soak.context.address), MODEL).current() is not None
