"""Clients of an older signature: answered while a version with it serves, else told what changed.

Three signatures follow one another on one host: {price}; then {title, price, shop, clicks} with an
optional weight; then, in some tests, {price} again, without the others.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.challenger import earlier_inputs
from overnight.serving.history.input_eras import REMEMBERED_ERAS, InputEra, merged
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.signatures import InputSignature, SentInput
from overnight.serving.rest.app import create_application
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles, published
from tests.support.serving.clients import INFER, PREDICT
from tests.support.serving.stepped_host import Unprobed, promote, settle
from tests.support.signing_keys import SIGNER, TRUST, alias_log

_GAPS = Path(__file__).parents[2] / "goldens" / "gaps" / "predictor.tflite"
PRICE_ALONE = Schema(
    inputs=(TensorSpec(name="price", datatype="FP32", shape=(), nullable=True),),
    outputs=(TensorSpec(name="units", datatype="FP32", shape=(1,)),),
)
OLD, NEW, LAST = (bundles.version_name(number) for number in (1, 2, 3))
ROW = {"title": "red", "price": 4.0, "shop": "north", "clicks": [1.0]}


class Host:
    """One worker of a host that follows a store in memory; its loader runs beside the requests."""

    def __init__(
        self, folder: Path, *schemas: str, late: bool = True, loaded_bytes: int = 64_000_000
    ) -> None:
        """`late`: the host starts when all versions were promoted, and has loaded only the last."""
        self.bucket = MemoryBucket()
        following = FollowConfig(
            models=(),
            replica="host",
            folder=folder,
            poll_seconds=0.0001,
            threads=1,
            workers=1,
            loaded_bytes=loaded_bytes,
        )
        self.agent = HostAgent(self.bucket, following, TRUST, Unprobed(), signer=lambda: SIGNER)
        for number, schema in enumerate(schemas, 1):
            if schema == "price":
                files, tensors = {"predictor.tflite": _GAPS.read_bytes()}, PRICE_ALONE
            else:
                files, tensors = published.files(), published.TENSORS
            bundles.publish(self.bucket, number, files, tensors=tensors)
            promote(alias_log(self.bucket, bundles.MODEL), number)
            if not late:
                settle(self.agent)
        settle(self.agent)
        self.agent.tick_history()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._load)
        self._thread.start()

    def client(self) -> FlaskClient:
        return create_application(
            self.agent.router, limits=Limits(), status=self.agent.status
        ).test_client()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.agent.stop()

    def _load(self) -> None:
        while not self._stopping.wait(0.005):
            self.agent.tick_loader()


@pytest.fixture
def host(tmp_path) -> Iterator:
    hosts = []

    def start(*schemas: str, **settings: int) -> Host:
        hosts.append(Host(tmp_path, *schemas, **settings))
        return hosts[-1]

    yield start
    for each in hosts:
        each.stop()


def v2(**data: object) -> dict:
    types = {"title": "BYTES", "shop": "BYTES"}
    shapes = {"clicks": [1, -1]}
    return {
        "inputs": [
            {
                "name": name,
                "datatype": types.get(name, "FP32"),
                "shape": shapes.get(name, [1]),
                "data": [value],
            }
            for name, value in data.items()
        ]
    }


def test_requests_of_an_older_signature_are_answered_by_its_last_version(host):
    # The host began with the newest version: it loads the older one when it is asked for it.
    client = host("price", "price", "published").client()

    v1 = client.post(PREDICT, json={"instances": [{"price": 4.0}]})
    bare = client.post(PREDICT, json={"instances": [4.0]})
    by_name = client.post(INFER, json=v2(price=4.0))

    assert [v1.status_code, bare.status_code, by_name.status_code] == [200, 200, 200], v1.data
    assert v1.json["predictions"] == bare.json["predictions"] == [[8.0]]
    assert by_name.json["model_version"] == NEW
    assert {each.headers["X-Model-Version"] for each in (v1, bare, by_name)} == {NEW}
    # The champion still answers its own clients, and the older version now answers by its name.
    new = client.post(PREDICT, json={"instances": [ROW]})
    assert new.headers["X-Model-Version"] == LAST
    named = client.post(f"/v2/models/digits/versions/{NEW}/infer", json=v2(price=4.0))
    assert named.status_code == 200


def test_what_the_champion_no_longer_has_is_ignored_and_a_typo_is_not(host):
    client = host("published", "price").client()

    for body in (
        client.post(PREDICT, json={"instances": [ROW]}),
        client.post(PREDICT, json={"inputs": {name: [value] for name, value in ROW.items()}}),
        client.post(INFER, json=v2(**ROW)),
    ):
        assert body.status_code == 200, body.data
        assert body.headers["X-Model-Version"] == NEW
    typo = client.post(PREDICT, json={"instances": [{"price": 4.0, "titel": "red"}]})
    assert typo.status_code == 400
    assert "titel" in typo.json["error"]


@pytest.mark.parametrize(
    "row", [{"price": 4.0, "colour": "red"}, {"title": "red"}, {"price": 4.0, "title": "red"}]
)
def test_a_request_that_fits_no_version_says_what_changed(host, row):
    client = host("price", "published").client()

    response = client.post(PREDICT, json={"instances": [row]})

    assert response.status_code == 400
    for name in {"title", "shop", "clicks"} - row.keys():
        assert f"input '{name}' came with version {NEW}: send it" in response.json["error"]


def test_a_version_that_can_no_longer_serve_is_named_with_the_change(host):
    # Its place is taken by the one before the champion, to which a rollback leads.
    client = host("price", "published", "published", late=False, loaded_bytes=0).client()

    response = client.post(PREDICT, json={"instances": [{"price": 4.0}]})

    assert response.status_code == 400
    assert f"version {OLD} took them and cannot answer any more" in response.json["error"]
    assert "no place for it within OVERNIGHT_LOADED_VERSIONS_MB" in response.json["error"]
    assert f"input 'title' came with version {NEW}: send it" in response.json["error"]


def test_a_request_by_version_or_label_is_never_answered_by_another(host):
    client = host("price", "published").client()

    for path in (f"versions/{NEW}", "labels/champion"):
        response = client.post(f"/v1/models/digits/{path}:predict", json={"instances": [4.0]})
        assert response.status_code == 400


def test_other_errors_of_a_request_are_not_taken_for_an_older_signature(host):
    client = host("price", "published").client()

    response = client.post(PREDICT, json={"instances": [ROW | {"price": "four"}]})

    assert response.status_code == 400
    assert "instances.price[0]: expected FP32 values" in response.json["error"]
    assert "version" not in response.json["error"]


def test_versions_of_the_api_say_what_they_take(host):
    client = host("price", "published").client()

    newest, oldest = client.get("/api/models/digits/versions").json["versions"]

    assert [each["name"] for each in oldest["inputs"]] == ["price"]
    assert [each["name"] for each in newest["inputs"] if each["optional"]] == ["weight"]


# Decisions alone


def signature(*names: str) -> tuple[InputSignature, ...]:
    return tuple(InputSignature(name=name, datatype="FP32", shape=()) for name in names)


def record(day: int) -> AliasRecord:
    promoted = promote(alias_log(bucket := MemoryBucket(), bundles.MODEL), day)
    assert bucket is not None
    return promoted.model_copy(update={"at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(day)})


def era(day: int, *names: str) -> InputEra:
    return InputEra(inputs=signature(*names), first=bundles.version_name(day), last=record(day))


def test_eras_remember_the_first_and_the_last_version_of_each_signature():
    known = merged((), [(record(1), signature("a"))])

    eras = merged(known, [(record(3), signature("a")), (record(2), signature("a", "b"))])

    assert [(each.first, each.version) for each in eras] == [
        (bundles.version_name(1), bundles.version_name(3)),
        (bundles.version_name(2), bundles.version_name(2)),
    ]


def test_the_eras_that_a_host_remembers_are_bounded():
    promoted = [(record(day), signature(f"x{day}")) for day in range(1, REMEMBERED_ERAS + 5)]

    eras = merged((), promoted[::-1])

    assert len(eras) == REMEMBERED_ERAS
    assert eras[0].inputs == promoted[-1][1]


def test_a_datatype_or_shape_that_changed_is_told():
    before = era(1, "a")
    now = (InputSignature(name="a", datatype="FP32", shape=(4,)),)
    after = InputEra(inputs=now, first=bundles.version_name(2), last=record(2))
    sent = {"a": SentInput("FP32", (3,))}

    line = earlier_inputs.changes(sent, now, (after, before))

    assert line == f"input 'a' is FP32 [4] since version {bundles.version_name(2)}: send that"
