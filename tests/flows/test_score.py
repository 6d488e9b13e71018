"""Batch scoring through the real store and Prefect, by the flow and by the command."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from overnight.cli.main import app
from overnight.flows.score import score
from overnight.store.predictions.tables import PredictionTable
from overnight.store.registry.actor import Actor
from overnight.tasks import outcomes
from overnight.tasks.scoring.places import RowsPlace
from tests.support.flow_environment import FlowEnvironment
from tests.support.serving import bundles
from tests.support.signing_keys import alias_log

pytestmark = pytest.mark.servers
IMAGES = np.random.default_rng(5).integers(0, 256, (30, 28, 28), dtype=np.uint8)


@pytest.fixture
def rows(flow_environment: FlowEnvironment, tmp_path: Path) -> Path:
    """A file of rows, and a champion that answers them."""
    version = bundles.publish(flow_environment.bucket, 1)
    actor = Actor("test", "to score")
    alias_log(flow_environment.bucket).append(version, expected=None, actor=actor)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(IMAGES.reshape(-1)), 784)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": pa.array(range(30)), "image": flat}), path)
    return path


def test_the_flow_and_the_command_score_to_a_table_in_s3_and_to_files(
    flow_environment: FlowEnvironment, rows: Path, tmp_path: Path
) -> None:
    address = flow_environment.bucket.address
    target = f"s3://{address.bucket}/landing/scored"

    state = score("digits", str(rows), target, keep=["id"], return_state=True)
    again = score("digits", str(rows), target, keep=["id"], return_state=True)

    ends = [outcomes.read(each.name, each.message) for each in (state, again)]
    assert [end.outcome for end in ends] == ["Scored", "NothingNew"], ends
    table = RowsPlace.parse(target, address).table.open_existing().to_pyarrow_table()
    assert sorted(table["id"].to_pylist()) == list(range(30))
    answers = table.sort_by("id")["output.probabilities"].to_pylist()
    np.testing.assert_allclose(answers, bundles.probabilities(1, IMAGES), atol=1e-5)
    # Nothing is declared to be logged of this version.
    assert PredictionTable.on_s3(address, "digits").read().num_rows == 0

    # The command reads what the flow wrote, has no image there, and says so.
    def command(*arguments: str):
        return CliRunner().invoke(app, ["score", "digits", *arguments, "--json"])

    done = command(str(rows), str(tmp_path / "answers.csv"), "--output", "probabilities")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["scored"] == 30
    assert command(str(rows), str(tmp_path / "answers.csv")).exit_code == 1
    file = f"s3://{address.bucket}/landing/scored.parquet"
    assert command(str(rows), file).exit_code == 0
    whole = command(file, str(tmp_path / "whole.csv"), "--keep", "id", "--output", "probabilities")
    assert whole.exit_code == 0, whole.output
    unfit = command(target, str(tmp_path / "more.parquet"))
    assert (unfit.exit_code, "no image among id" in str(unfit.exception)) == (1, True)
