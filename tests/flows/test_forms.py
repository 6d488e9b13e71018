"""What Prefect's forms show: a description for each field, and where a typed name cannot work."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DECLARED = yaml.safe_load((ROOT / "deployments.yaml").read_text())


def entries() -> Iterator[dict[str, Any]]:
    yield from DECLARED["each_model"].values()
    yield from DECLARED["deployments"]


FLOWS = {entry["entrypoint"].rpartition(".")[2]: entry for entry in entries()}


def parameters(name: str) -> dict[str, Any]:
    """The fields of the form of a flow, as Prefect makes them."""
    # Late: Prefect takes a second to import, and every worker collects this file.
    from prefect.utilities.callables import parameter_schema

    module, _, attribute = FLOWS[name]["entrypoint"].rpartition(".")
    return parameter_schema(getattr(import_module(module), attribute).fn).properties


def test_every_field_of_a_form_is_described() -> None:
    fields = {(name, field): shown for name in FLOWS for field, shown in parameters(name).items()}

    assert ("retrain", "epochs") in fields
    assert [place for place, shown in fields.items() if not shown.get("description")] == []


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_form_that_takes_a_proof_says_where_a_typed_name_ends_as_denied(name: str) -> None:
    description = inspect.cleandoc(FLOWS[name]["description"])

    assert ("proof" in parameters(name)) == ("Denied" in description)
