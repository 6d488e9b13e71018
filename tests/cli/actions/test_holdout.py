"""`overnight holdout`: the sets that judge, and a renewal from arrivals and from a file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.cli.actions import holdout
from overnight.models.digits.rows import Digits, as_rows
from overnight.store.datasets.delta_table import Dataset
from overnight.tasks.data.stamps import STAMPS
from tests.support.flow_environment import FlowEnvironment

pytestmark = pytest.mark.servers


def arrive(environment: FlowEnvironment, name: str, start: int, end: int) -> None:
    """Rows of one arrival, as ingest appends them."""
    rows = as_rows(
        Digits(environment.digits.images[start:end], environment.digits.labels[start:end])
    )
    stamps = [
        pa.array([name] * rows.num_rows, STAMPS.field("arrival").type),
        pa.array([datetime.now(UTC)] * rows.num_rows, STAMPS.field("arrived_at").type),
        pa.array(range(rows.num_rows), STAMPS.field("arrival_row").type),
    ]
    for field, values in zip(STAMPS, stamps, strict=True):
        rows = rows.append_column(field, values)
    Dataset.on_s3(environment.bucket.address, "digits", "rows").append(rows, name)


def test_a_holdout_is_renewed_and_says_by_whom(
    store_environment: FlowEnvironment, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    held_out = Dataset.on_s3(store_environment.bucket.address, "digits", "holdout")
    store_environment.digits.keep_holdout(held_out)
    arrive(store_environment, "few", 0, 200)

    holdout.renew("digits", rows=100, file=None, days=7, reason="new pens")
    assert "holdout-2 of digits: its 100 rows judge from now on" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        holdout.renew("digits", rows=101, file=None, days=7, reason="more")
    assert refused.value.code == 3
    assert "only 100 rows arrived that its champion has not learned" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        holdout.renew("digits", rows=None, file=tmp_path / "none.csv", days=7, reason="more")
    assert "none.csv: No such file" in capsys.readouterr().err

    holdout.show("digits", as_json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["judges"], first["by"]) == ("holdout", True, "the source")
    assert (second["rows"], second["judges"], second["reason"]) == (100, True, "new pens")
    assert len(second["signed_by"]) == 16
    holdout.show("digits", as_json=False)
    assert "new pens" in capsys.readouterr().out
    holdout.show("sales", as_json=False)
    assert "days of each snapshot of sales judge" in capsys.readouterr().out
