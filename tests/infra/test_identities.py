"""What each identity may do, asked of the real server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pyarrow as pa
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from overnight.infra import identities
from overnight.infra.identities import Credentials
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.errors import AlreadyExists, StoreDenied
from overnight.store.objects import keys
from overnight.store.objects.conformance import probe
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges, Withdrawal
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.limits import LIMIT
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.serving import bundles

pytestmark = pytest.mark.servers
BUCKET, MANUAL = "overnight-tests", "digits-by-hand"
KNOWN = {name: Credentials(name, f"the-secret-of-{name}") for name in identities.NAMES}
KNOWN["administration"] = Credentials(ACCESS, SECRET)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = identities.for_seaweedfs(BUCKET, KNOWN, manual=(MANUAL,))
    place = tmp_path_factory.mktemp("identities")
    with seaweed(place, config_text=config, bucket=BUCKET) as address:
        bundles.publish(S3Bucket(S3Address(address, BUCKET, ACCESS, SECRET)), 1)
        yield address


@pytest.fixture
def address(endpoint: str) -> Callable[[str], S3Address]:
    def of(name: str) -> S3Address:
        return S3Address(endpoint, BUCKET, KNOWN[name].access_key, KNOWN[name].secret_key)

    return of


@pytest.fixture
def bucket(address: Callable[[str], S3Address]) -> Callable[[str], S3Bucket]:
    return lambda name: S3Bucket(address(name))


@pytest.fixture
def client(endpoint: str) -> Callable[[str], Any]:
    """S3 as somebody has it who does not go through our own rules."""

    def of(name: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KNOWN[name].access_key,
            aws_secret_access_key=KNOWN[name].secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    return of


def denied(act: Callable[[], object]) -> bool:
    try:
        act()
    except StoreDenied:
        return True
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


FIRST = bundles.version_name(1)
FILE = keys.version_file("digits", FIRST, "predictor.tflite")
MANIFEST = keys.manifest("digits", FIRST)
RECORD = keys.alias_record("digits", "champion", 7)
DECISION = keys.decision("digits", FIRST)
ARRIVAL = "landing/digits/2026-11-22/night/arrival.json"


def test_landing_can_land_and_nothing_else(bucket, client):
    mine = bucket("landing")

    Landing(mine, "digits").land("night", {"a.csv": b"1"}, by="x", at=datetime.now(UTC))
    Landing(mine, "digits").land("night", {"a.csv": b"1"}, by="x", at=datetime.now(UTC))

    assert denied(lambda: mine.read(MANIFEST, LIMIT))
    assert denied(lambda: mine.keys_below("landing"))
    for key in (MANIFEST, RECORD, DECISION, "datasets/digits/rows/_delta_log/1.json"):
        assert denied(lambda key=key: mine.create(key, b"x")), key
    assert denied(lambda: mine.remove(f"landing/digits/{datetime.now(UTC):%Y-%m-%d}/night/x"))


def test_serving_says_what_became_of_a_record_and_writes_nothing_else(bucket):
    mine = bucket("serving")
    ours = bucket("administration")
    ModelRegistry(ours, "digits").decisions.decide(FIRST, "approved", Actor("a", "b"))
    record = Promotions(ModelRegistry(ours, "digits")).promote(
        FIRST, expected=None, actor=Actor("a", "b")
    )
    second = bundles.publish(ours, 2)
    terms = Terms(mode="shadow")
    challenge = Challenges(ours, "digits").start(second, terms=terms, actor=Actor("a", "b"))

    output = Acknowledgement(replica="host", version=FIRST, serving=True)
    AliasLog(mine, "digits").acknowledge(record.sequence, output)
    Challenges(mine, challenge.model).withdraw(
        challenge, Withdrawal(replica="host", version=second, reason="it errs")
    )

    assert mine.read(FILE, LIMIT)
    assert mine.names_below("models") == ["digits"]
    assert AliasLog(mine, "digits").at(record.sequence + 1) is None
    assert [a.replica for a in AliasLog(ours, "digits").acknowledgements(record.sequence)]
    challenger = keys.alias_record("digits", "challenger", 7)
    hidden = f"models/digits/versions/{FIRST}/aliases/x/y/replicas/z"
    for key in (RECORD, challenger, DECISION, ARRIVAL, hidden, f"{FILE}.new"):
        assert denied(lambda key=key: mine.create(key, b"x")), key
    assert denied(lambda: mine.read("landing/digits/2026-11-22/night/arrival.json", LIMIT))


def test_training_publishes_decides_and_promotes_where_its_gates_decide(bucket, address):
    mine = bucket("training")
    Landing(mine, "digits").land("dusk", {"a.csv": b"1"}, by="x", at=datetime.now(UTC))
    (arrival,) = [one for one in Landing(mine, "digits").pending() if one.name == "dusk"]

    version = bundles.publish(mine, 3)
    ModelRegistry(mine, "digits").decisions.decide(version, "approved", Actor("g", "b"))
    before = AliasLog(mine, "digits").current()
    over = before.version if before else None
    record = Promotions(ModelRegistry(mine, "digits")).promote(
        version, expected=over, actor=Actor("gates", "b")
    )
    rows = Dataset.on_s3(address("training"), "digits", "rows")
    rows.append(pa.table({"label": [1, 2]}), "dusk")
    Landing(mine, arrival.model).clear(arrival)
    probe(mine, where="here")

    assert record.version == version
    assert rows.read().num_rows == 2
    assert denied(lambda: mine.create(keys.replica("digits", "champion", 1, "host-2"), b"x"))
    assert denied(lambda: mine.create(keys.alias_record("digits", "challenger", 9), b"x"))
    assert denied(lambda: mine.create(keys.arrival_review("digits", "dusk", 1), b"x"))
    assert denied(lambda: mine.create(keys.tombstone("digits", FIRST), b"x"))


@pytest.mark.parametrize("ending", ["", "/", "/x"])
def test_training_neither_decides_nor_promotes_where_people_decide(ending, bucket, client):
    mine, key = client("training"), keys.decision(MANUAL, FIRST)

    bucket("training").create(keys.version_file(MANUAL, FIRST, f"file{ending.strip('/')}"), b"x")

    assert denied(lambda: mine.put_object(Bucket=BUCKET, Key=key + ending, Body=b"x"))
    record = keys.alias_record(MANUAL, "champion", 1)
    assert denied(lambda: mine.put_object(Bucket=BUCKET, Key=record + ending, Body=b"x"))
    source = {"Bucket": BUCKET, "Key": FILE}
    assert denied(lambda: mine.copy_object(Bucket=BUCKET, Key=key, CopySource=source))
    assert denied(lambda: mine.create_multipart_upload(Bucket=BUCKET, Key=key))


def test_administration_decides_and_promotes_where_people_decide(bucket):
    ours = bucket("administration")

    ours.create(keys.decision(MANUAL, FIRST), b"{}")
    ours.create(keys.alias_record(MANUAL, "champion", 1), b"{}")
    ours.create(keys.arrival_review(MANUAL, "dusk", 1), b"{}")

    assert ours.names_below(keys.alias(MANUAL, "champion")) == ["00000001.json"]


def test_the_operator_behind_serving_decides_and_makes_nothing_to_decide_about(bucket):
    mine = bucket("operator")

    mine.create(keys.alias_record("digits-too", "champion", 1), b"{}")
    mine.create(keys.alias_record("digits-too", "challenger", 1), b"{}")
    mine.create(keys.decision("digits-too", FIRST), b"{}")
    mine.create(keys.arrival_review("digits-too", "night", 1), b"{}")

    for key in (
        f"{FILE}.new",
        keys.manifest("digits-too", FIRST),
        keys.pending_review("digits-too", "night"),
        ARRIVAL,
        keys.replica("digits", "champion", 1, "h"),
    ):
        assert denied(lambda key=key: mine.create(key, b"x")), key
    with pytest.raises(AlreadyExists):
        mine.create(DECISION, b"{}")


@pytest.mark.parametrize("name", identities.NAMES)
def test_nobody_but_keeping_deletes_what_a_version_is(name, client):
    mine, gone = client(name), f"{FILE}.of-{name}"
    client("administration").put_object(Bucket=BUCKET, Key=gone, Body=b"x")
    whole = {"Objects": [{"Key": gone}]}

    assert denied(lambda: mine.delete_object(Bucket=BUCKET, Key=MANIFEST))
    assert denied(lambda: mine.delete_object(Bucket=BUCKET, Key=DECISION))
    assert denied(lambda: mine.delete_object(Bucket=BUCKET, Key=RECORD))
    if name == "keeping":
        mine.put_object(Bucket=BUCKET, Key=keys.tombstone("digits", FIRST), Body=b"x")
        mine.delete_object(Bucket=BUCKET, Key=gone)
    else:
        assert denied(lambda: mine.delete_object(Bucket=BUCKET, Key=gone))
        several = mine.delete_objects(Bucket=BUCKET, Delete=whole)
        assert [error["Code"] for error in several["Errors"]] == ["AccessDenied"]


@pytest.mark.parametrize("name", identities.NAMES)
def test_nobody_changes_the_rules_of_the_bucket_or_removes_it(name, client):
    mine = client(name)
    rules = {"Rules": [{"ID": "x", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]}
    open_to_all = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
        f'"Action":"s3:*","Resource":"arn:aws:s3:::{BUCKET}/*"}}]}}'
    )

    assert denied(lambda: mine.put_bucket_policy(Bucket=BUCKET, Policy=open_to_all))
    assert denied(lambda: mine.delete_bucket(Bucket=BUCKET))
    assert denied(lambda: mine.put_object_acl(Bucket=BUCKET, Key=FILE, ACL="public-read"))
    assert denied(
        lambda: mine.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
    )


@pytest.mark.parametrize("name", ["landing", "serving", "operator", "keeping", "reading"])
def test_who_publishes_nothing_cannot_overwrite_a_version_either(name, client, bucket):
    mine = client(name)

    for key in (FILE, MANIFEST):
        assert denied(lambda key=key: mine.put_object(Bucket=BUCKET, Key=key, Body=b"other"))

    assert bucket("administration").read(FILE, LIMIT) == bundles.network(1)


@pytest.mark.parametrize("name", ["training", "administration"])
def test_who_publishes_cannot_overwrite_through_our_own_bucket(name, bucket):
    with pytest.raises(AlreadyExists):
        bucket(name).create(FILE, b"other")


@pytest.mark.parametrize("name", ["serving", "operator", "training"])
@pytest.mark.parametrize("below", ["replicas/x", "x.json", "withdrawn.json", "replicas/x.json"])
def test_nobody_writes_below_what_could_be_a_record(name, below, client):
    mine = client(name)

    for alias in ("champion", "challenger"):
        key = f"models/digits-three/aliases/{alias}/99999999.json/{below}"
        assert denied(lambda key=key: mine.put_object(Bucket=BUCKET, Key=key, Body=b"x")), key


def test_serving_says_what_became_of_records_alone(client):
    mine, log = client("serving"), "models/digits-three/aliases/champion"

    mine.put_object(Bucket=BUCKET, Key=f"{log}/00000001/replicas/x.json", Body=b"x")

    for name in ("1", "a-longer-name"):
        key = f"{log}/{name}/replicas/x.json"
        assert denied(lambda key=key: mine.put_object(Bucket=BUCKET, Key=key, Body=b"x")), key


def test_a_denied_request_names_the_action_and_the_policies(bucket):
    with pytest.raises(
        StoreDenied, match=rf"PutObject {RECORD}.*OVERNIGHT_IDENTITY.*infra/policies"
    ):
        bucket("serving").create(RECORD, b"x")
