"""Columns of a dataset: what may be declared, and how a declaration reads."""

import pytest

from overnight.models.data_gates.columns import Column
from overnight.store.errors import ConfigurationError
from overnight.store.schema import TensorSpec


def tensor(**declared: object) -> TensorSpec:
    return TensorSpec(**{"name": "units", "datatype": "INT32", "shape": (), **declared})


@pytest.mark.parametrize(
    ("declared", "text", "row_bytes"),
    [
        (tensor(), "INT32", None),
        (tensor(minimum=0), "INT32 from 0", None),
        (tensor(maximum=9), "INT32 to 9", None),
        (tensor(minimum=0, maximum=9), "INT32 from 0 to 9", None),
        (tensor(datatype="FP32", shape=(28, 3)), "28 × 3 of FP32", 28 * 3 * 4),
        (tensor(datatype="UINT8", shape=(28, 28), maximum=9), "28 × 28 of UINT8", 784),
    ],
)
def test_a_declaration_reads_as_one_phrase(
    declared: TensorSpec, text: str, row_bytes: int | None
) -> None:
    column = Column(declared)

    assert (str(column), column.row_bytes, column.name) == (text, row_bytes, "units")


@pytest.mark.parametrize(
    ("share", "nullable", "why"),
    [
        (-0.1, True, "column units: missing_share is a share from 0 to 1, not -0.1"),
        (1.1, True, "column units: missing_share is a share from 0 to 1, not 1.1"),
        (
            0.1,
            False,
            (
                "column units: values may be missing only where the tensor accepts it; "
                "declare nullable=True, missing=Missing(value=…) or missing_share=0"
            ),
        ),
    ],
)
def test_a_share_that_cannot_be_missing_is_an_error(share: float, nullable: bool, why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Column(tensor(datatype="FP32", nullable=nullable), missing_share=share)

    assert str(raised.value) == why


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all_may_be_missing(share: float) -> None:
    assert Column(tensor(datatype="FP32", nullable=True), missing_share=share).name == "units"
