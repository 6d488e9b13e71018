"""The model repository extension of v2, and the status of v1."""

import pytest

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.objects.keys import number_of
from tests.support.serving import bundles
from tests.support.serving.clients import LIMITS

OLD, NEW = bundles.version_name(1), bundles.version_name(2)
EMPTY = {
    "name": "sales",
    "version": "",
    "state": "UNAVAILABLE",
    "reason": "no verified version yet",
}


def _ready(version: str) -> dict:
    return {"name": "digits", "version": version, "state": "READY", "reason": ""}


@pytest.fixture(scope="module")
def two():
    """Two versions of one model are loaded, and none of another."""
    slots = ModelSlots()
    slot = slots.add(ModelSlot("digits", SharedGeneration.in_process()))
    slots.add(ModelSlot("sales", SharedGeneration.in_process()))
    for number in (1, 2):
        files = bundles.files(number)
        predictor = load_version(bundles.manifest(number, files), files, threads=1)
        slot.put(LoadedVersion(number, predictor, None))
    slot.shared.activate(2)
    return create_application(Router(slots), limits=LIMITS, status=StandaloneStatus()).test_client()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", [_ready(NEW), _ready(OLD), EMPTY]),
        (b"{}", [_ready(NEW), _ready(OLD), EMPTY]),
        (b'{"ready": false}', [_ready(NEW), _ready(OLD), EMPTY]),
        (b'{"ready": true}', [_ready(NEW), _ready(OLD)]),
    ],
)
def test_loaded_versions_are_listed_newest_first(two, body, expected):
    answer = two.post("/v2/repository/index", data=body)
    assert (answer.status_code, answer.json) == (200, expected)


@pytest.mark.parametrize("body", [b"[]", b'{"ready": 1}', b"ready"])
def test_an_invalid_index_request_is_refused(two, body):
    answer = two.post("/v2/repository/index", data=body)
    assert answer.status_code == 400
    assert "expected" in answer.json["error"]


@pytest.mark.parametrize("change", ["load", "unload"])
def test_requests_to_load_or_unload_are_refused(two, change):
    answer = two.post(f"/v2/repository/models/digits/{change}", json={})
    assert answer.status_code == 403
    assert "`overnight promote digits`" in answer.json["error"]
    assert two.post(f"/v2/repository/models/nobody/{change}").status_code == 404


def test_v1_status_lists_all_loaded_versions_or_the_named_one(two):
    def states(way: str) -> list[str]:
        states = two.get(f"/v1/models/digits{way}").json["model_version_status"]
        assert {state["state"] for state in states} == {"AVAILABLE"}
        return [state["version"] for state in states]

    old, new = str(number_of(OLD)), str(number_of(NEW))
    assert states("") == [new, old]
    assert states(f"/versions/{OLD}") == states(f"/versions/{old}") == [old]
    assert states("/labels/champion") == [new]


@pytest.mark.parametrize("path", ["/v2//health/live", "/v2/models//infer", "/api//models"])
def test_a_path_with_two_slashes_is_unknown_and_not_redirected(two, path):
    assert two.get(path).status_code == 404
