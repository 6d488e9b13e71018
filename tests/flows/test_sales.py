"""Retraining runs of sales, for real on the baskets of a few stores."""

from datetime import UTC, datetime

import pytest

from overnight.flows.ingest import ingest
from overnight.flows.retrain import retrain
from overnight.store.datasets.landing import Landing
from overnight.store.registry.registry import ModelRegistry
from tests.support.flow_environment import FlowEnvironment
from tests.support.genuine_sales import STORES, arriving, parquet
from tests.support.outcomes import ended
from tests.support.signing_keys import alias_log

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(600)]
FEW = STORES[:3]
OVERRIDE = {
    "override_gates": True,
    "requested_by": "ann",
    "reason": "few stores will do for a test",
}


def arrive(flow_environment: FlowEnvironment, name: str, first: str, last: str) -> None:
    files = {f"{name}.parquet": parquet(arriving(first, last, stores=FEW))}
    Landing(flow_environment.bucket, "sales").land(name, files, by="test", at=datetime.now(UTC))


def test_the_holdout_of_each_run_has_days_that_no_version_was_trained_on(
    flow_environment: FlowEnvironment,
) -> None:
    arrive(flow_environment, "history", "2017-01-01", "2017-05-31")

    first = ended(retrain("sales", epochs=1, return_state=True, **OVERRIDE))
    arrive(flow_environment, "next", "2017-06-01", "2017-06-01")
    second = ended(retrain("sales", epochs=1, return_state=True, **OVERRIDE))
    again = ended(retrain("sales", epochs=1, ingest_first=False, return_state=True))

    assert first[0] == "Promoted", first
    assert second[0] == "Promoted", second
    assert again[0] == "UpToDate", again
    older, newer = (
        ModelRegistry(flow_environment.bucket, "sales").manifest(version)
        for version in sorted(ModelRegistry(flow_environment.bucket, "sales").versions())
    )
    assert alias_log(flow_environment.bucket, "sales").current().version == newer.version
    assert (older.data.judged_from, newer.data.judged_from) == ("2017-05-01", "2017-05-02")
    assert newer.compared_with == older.version
    assert newer.data.holdout_digest != older.data.holdout_digest
    (seen,) = (
        finding for finding in newer.data_findings if finding.gate == "unseen by the champion"
    )
    assert seen.passed
    assert seen.applicable
    rehearsed = newer.rehearsed
    assert rehearsed is not None
    assert rehearsed.n == newer.measured("wape").n > 500
    assert newer.tensors.inputs[1].vocabulary[:2] == ("other", "GROCERY")


def test_a_first_file_without_a_valid_line_ends_green_and_the_next_comes_in(
    flow_environment: FlowEnvironment,
) -> None:
    header = "basket_id,store_id,department,quantity,transaction_timestamp\n"
    landing = Landing(flow_environment.bucket, "sales")
    bad = {"bad.csv": f"{header}1,367,DELI,1 pc,2017-11-05\n".encode()}
    landing.land("bad", bad, by="test", at=datetime.now(UTC))

    first = ended(ingest("sales", return_state=True))
    refused = ended(retrain("sales", ingest_first=False, return_state=True))
    good = {"good.csv": f"{header}1,367,DELI,1,2017-11-05\n".encode()}
    landing.land("good", good, by="test", at=datetime.now(UTC))
    second = ended(ingest("sales", return_state=True))

    assert first == ("Ingested", "0 rows added, 1 files quarantined")
    assert refused[0] == "NothingNew"
    assert second == ("Ingested", "1 rows added, 0 files quarantined")
