"""The outcomes of a retraining run, for real on few digits."""

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from overnight.flows.ingest import ingest
from overnight.flows.promote import promote
from overnight.flows.reproduce import reproduce
from overnight.flows.retrain import retrain
from overnight.flows.rollback import rollback
from overnight.store.datasets.landing import Landing
from overnight.store.registry.registry import ModelRegistry
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended
from tests.support.signing_keys import alias_log

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
OVERRIDE = {
    "override_gates": True,
    "requested_by": "ann",
    "reason": "few digits will do for a test",
}


def champion(flow_environment: FlowEnvironment) -> str | None:
    record = alias_log(flow_environment.bucket, "digits").current()
    return record.version if record else None


def newest_card(key: str) -> str:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        artifacts = client.read_artifacts(artifact_filter=wanted, sort="CREATED_DESC", limit=1)
    return str(artifacts[0].data)


@pytest.mark.usefixtures("constant_digits")
def test_a_weak_candidate_is_refused_once_and_never_trained_again(
    flow_environment: FlowEnvironment,
) -> None:
    flow_environment.land_digits("few", 0, 1_200)

    first = ended(retrain(epochs=1, return_state=True))
    again = ended(retrain(epochs=1, ingest_first=False, return_state=True))

    assert first[0] == "Refused"
    assert "AtLeast accuracy: " in first[1]
    assert again[0] == "UpToDate"
    assert "this fingerprint was refused" in again[1]
    assert ModelRegistry(flow_environment.bucket, "digits").versions() == []
    assert champion(flow_environment) is None
    card = newest_card("digits-retrain")
    assert "UpToDate" in card
    # The log of the process that reads arrivals stays; a candidate's scratch folder does not.
    assert not any(p.is_dir() for p in (flow_environment.home / "work" / "digits").iterdir())


@pytest.mark.usefixtures("constant_digits")
def test_versions_are_published_approved_moved_and_rolled_back(
    flow_environment: FlowEnvironment,
) -> None:
    flow_environment.land_digits("few", 0, 1_200)

    name, message = ended(retrain(epochs=1, force=True, return_state=True, **OVERRIDE))
    assert name == "Promoted", message
    (first,) = ModelRegistry(flow_environment.bucket, "digits").versions()
    assert champion(flow_environment) == first
    manifest = ModelRegistry(flow_environment.bucket, "digits").manifest(first)
    assert manifest.override is not None
    assert manifest.override.by == "ann"
    refused = [finding.name for finding in manifest.findings if not finding.passed]
    assert list(manifest.override.overruled) == refused != []
    assert set(manifest.files) == {
        "golden.npz",
        "network.keras",
        "predictor.tflite",
        "reference.json",
        "report.html",
        "sbom.cdx.json",
    }
    run = manifest.run
    assert (run.forced, run.by, run.reason, run.authenticated) == (
        True,
        "ann",
        OVERRIDE["reason"],
        False,
    )
    record = alias_log(flow_environment.bucket, "digits").current()
    assert record is not None
    why = f"forced: {OVERRIDE['reason']}"
    assert (record.by, record.reason) == ("ann", f"retrained on 1,200 rows; {why}")
    report = (
        ModelRegistry(flow_environment.bucket, manifest.model)
        .read_file(manifest, "report.html")
        .decode()
    )
    code, environment = manifest.code, manifest.environment
    for text in (
        *(first, manifest.fingerprint[:16], code.commit[:12], code.digest[:12]),
        *(environment.lock_digest[:12], f"numpy {environment.packages['numpy']}"),
        *(f"{run.name} {run.id}", f"by ann: {why}", "<td>overridden</td>"),
    ):
        assert text in report
    for text in ("Ingested arrivals", "1,200", "data:image/png;base64", "Gates", "failed", first):
        assert text in newest_card("digits-retrain")

    name, message = ended(
        retrain(
            epochs=1, seed=2, ingest_first=False, approval="manual", return_state=True, **OVERRIDE
        )
    )
    second = ModelRegistry(flow_environment.bucket, "digits").versions()[-1]
    assert name == "AwaitingApproval"
    assert f"overnight approve digits {second}" in message
    assert champion(flow_environment) == first

    run = ModelRegistry(flow_environment.bucket, "digits").manifest(second).run
    assert (run.forced, run.reason) == (False, OVERRIDE["reason"])

    waiting = ended(
        retrain(epochs=1, seed=2, ingest_first=False, approval="manual", return_state=True)
    )
    assert waiting[0] == "AwaitingApproval"
    assert len(ModelRegistry(flow_environment.bucket, "digits").versions()) == 2

    assert (
        ended(promote(second, "digits", requested_by="bob", reason="good", return_state=True))[0]
        == "Promoted"
    )
    assert champion(flow_environment) == second
    decision = ModelRegistry(flow_environment.bucket, "digits").decisions.find(second)
    assert decision is not None
    assert (decision.verdict, decision.by) == ("approved", "bob")
    late = ended(promote(second, "digits", decision="reject", return_state=True))
    assert late[0] == "Superseded"
    assert "was approved by bob already" in late[1]

    assert (
        ended(rollback("digits", requested_by="bob", reason="worse", return_state=True))[0]
        == "RolledBack"
    )
    assert champion(flow_environment) == first
    late = ended(promote(second, "digits", return_state=True))
    assert late == ended(promote(second, "digits", return_state=True))
    moved = ended(promote(second, "digits", decision="move", requested_by="bob", return_state=True))
    assert moved[0] == "Promoted"
    assert champion(flow_environment) == second


def test_outcomes_of_ingest_without_and_with_new_arrivals(
    flow_environment: FlowEnvironment,
) -> None:
    flow_environment.land_digits("blank", 0, 100, seen=np.zeros_like)
    refused = ended(retrain(return_state=True))
    card = newest_card("digits-retrain")
    flow_environment.land_digits("few", 0, 30)
    without_rows = ended(retrain(ingest_first=False, return_state=True))
    pending = [arrival.name for arrival in Landing(flow_environment.bucket, "digits").pending()]

    first = ended(ingest(return_state=True))
    again = ended(ingest(return_state=True))
    flow_environment.land_digits("few", 0, 30)
    skipped = ended(ingest(return_state=True))

    # Nothing was ever ingested, so there is no dataset yet.
    assert refused[0] == "Refused"
    assert "blank: 99.0% of 100 rows repeat others of this arrival" in refused[1]
    assert "blank: 99.0%" in card
    assert without_rows == ("NothingNew", "no rows ever came in")
    assert pending == ["few"]
    assert first == ("Ingested", "30 rows added, 0 files quarantined")
    # The landing is empty now, so the source delivers its first arrival.
    assert again[0] == "Ingested"
    assert again[1].startswith("49,970 rows added")
    assert skipped[0] == "NothingNew"
    assert skipped[1].endswith("ingested or refused before under this name: few")


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"model": "nobody"}, "no model is called 'nobody'"),
        ({"approval": "perhaps"}, "approval"),
        ({"learning_rate": "fast"}, "learning_rate"),
    ],
)
def test_parameters_out_of_range_never_start_a_run(
    flow_environment: FlowEnvironment, parameters: dict[str, object], named: str
) -> None:
    state = retrain(return_state=True, **parameters)  # type: ignore[call-overload]

    assert state.is_failed()
    assert named in str(state.message)


@pytest.mark.parametrize(
    ("who", "message"),
    [
        ({}, "a person's name"),
        ({"requested_by": "ann", "reason": "  "}, "a person's name"),
        (
            {"requested_by": "eve", "reason": "because"},
            "'eve' may not override gates; authorized are: ann",
        ),
    ],
)
def test_gates_are_overridden_only_by_an_authorized_person_with_a_reason(
    flow_environment: FlowEnvironment, who: dict[str, str], message: str
) -> None:
    state = retrain(override_gates=True, return_state=True, **who)  # type: ignore[call-overload]

    assert state.is_cancelled()
    assert ended(state)[0] in {"Denied", "InvalidRequest"}
    assert message in str(state.message)
    assert ModelRegistry(flow_environment.bucket, "digits").versions() == []


def test_a_version_is_reproduced_bit_for_bit(flow_environment: FlowEnvironment) -> None:
    flow_environment.land_digits("few", 0, 1_200)
    retrain(epochs=1, return_state=True, **OVERRIDE)

    name, message = ended(reproduce(return_state=True))

    assert name == "Reproduced", message
    assert "bit-identical weights" in message
    assert "bit for bit" in newest_card("digits-reproduce")
    assert len(ModelRegistry(flow_environment.bucket, "digits").versions()) == 1
