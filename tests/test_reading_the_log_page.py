"""Other engines read the prediction log as docs/monitoring/reading-the-log.md says, and only read.

The store is the embedded one, with the policies that `overnight up` gives it.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from overnight.infra import identities
from overnight.infra.identities import Credentials
from overnight.infra.stack import local_secrets
from overnight.store.errors import StoreDenied
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.predictions.tables import LabelTable, PredictionTable
from tests.support.limits import LIMIT
from tests.support.prediction_log import answered, segment, sent
from tests.support.s3_server import ACCESS, SECRET, seaweed

pytestmark = pytest.mark.servers
BUCKET = "overnight-tests"
KNOWN = {name: Credentials(name, f"the-secret-of-{name}") for name in identities.NAMES}
KNOWN["administration"] = Credentials(ACCESS, SECRET)
PAGE = Path(__file__).parents[1] / "docs" / "monitoring" / "reading-the-log.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Address]]:
    """The address of a store with both tables, by identity."""
    config = identities.for_seaweedfs(BUCKET, KNOWN)
    with seaweed(tmp_path_factory.mktemp("log"), config_text=config, bucket=BUCKET) as endpoint:

        def address(name: str) -> S3Address:
            return S3Address(endpoint, BUCKET, KNOWN[name].access_key, KNOWN[name].secret_key)

        today = dt.datetime.now(dt.UTC)
        # Training has to be able to write and to delete.
        predictions = PredictionTable.on_s3(address("training"), "digits")
        predictions.append(
            {
                segment(1): [
                    answered("first", at=today, n=2, client="alice"),
                    answered("second", at=today, caller="order-17", client="alice"),
                    answered("third", at=today, client="alice"),
                ],
                segment(2): [answered("old", at=today - dt.timedelta(days=100))],
            }
        )
        labels = LabelTable.on_s3(address("training"), "digits")
        five, seven = {"probabilities": "5"}, {"probabilities": "7"}
        by_caller = dataclasses.replace(sent("", at=today, caller="order-17"), truth=five)
        by_request = dataclasses.replace(sent("first", at=today), truth=seven)
        labels.append({segment(1): [by_request, by_caller]})
        assert predictions.expire(90) == 1
        S3Bucket(address("landing")).create("landing/digits/2026-11-22/a/rows.csv", b"1")
        yield address


def printed(
    of: Callable[[str], S3Address],
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """What a program of the page prints, after the one that all begin with."""
    address = of("reading")
    # The file that the page names has everything; only the keys are those of this store.
    file = identities.path(tmp_path, "reading")
    local_secrets.write_credentials(tmp_path, endpoint=address.endpoint, bucket=BUCKET)
    own = identities.read(file)
    assert own is not None
    text = file.read_text().replace(own.access_key, address.access_key)
    for line in text.replace(own.secret_key, address.secret_key).splitlines()[1:]:
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    names: dict[str, object] = {}
    # The page is ours.
    for each in (PROGRAMS[0], program):
        exec(compile(each, str(PAGE), "exec"), names)  # noqa: S102
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "shows"),
    [
        (1, r"20261122T020000-0123456789ab │ +4 │ +2 │"),
        (2, r"champion ┆ 4 +┆ 900"),
        (3, r"first +1 .*alice"),
    ],
    ids=["DuckDB", "polars", "pandas"],
)
def test_an_engine_reads_the_tables_as_the_page_says(
    of: Callable[[str], S3Address],
    number: int,
    shows: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = printed(of, PROGRAMS[number], tmp_path, monkeypatch, capsys)

    assert re.search(shows, output), output


def test_every_write_of_the_reading_identity_is_refused(of: Callable[[str], S3Address]) -> None:
    predictions = PredictionTable.on_s3(of("reading"), "digits")
    labels = LabelTable.on_s3(of("reading"), "digits")

    assert len(predictions.read()) == 4
    writes: tuple[Callable[[], object], ...] = (
        lambda: predictions.append({segment(9): [answered("x")]}),
        lambda: predictions.delete_client("alice"),
        lambda: predictions.expire(0, now=dt.datetime.now(dt.UTC) + dt.timedelta(days=9)),
        lambda: labels.append({segment(9): [sent("x")]}),
        predictions.vacuum,
    )
    for write in writes:
        with pytest.raises(StoreDenied):
            write()
    assert PredictionTable.on_s3(of("training"), "digits").read() == predictions.read()


PREFIXES = (
    "predictions/digits",
    "labels/digits",
    "datasets/digits/rows",
    "models/digits/versions",
    "landing/digits",
    "spool/digits",
    "probe",
    "elsewhere",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_reading_identity_puts_copies_and_deletes_nothing(
    of: Callable[[str], S3Address], prefix: str
) -> None:
    address = of("reading")
    client = boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    table = client.list_objects_v2(Bucket=BUCKET, Prefix="predictions/digits/")["Contents"]
    source = {"Bucket": BUCKET, "Key": table[0]["Key"]}
    of_key = {"Bucket": BUCKET, "Key": f"{prefix}/x"}

    for refused in (
        lambda: client.put_object(**of_key, Body=b"x"),
        lambda: client.delete_object(**of_key),
        lambda: client.copy_object(**of_key, CopySource=source),
        lambda: client.create_multipart_upload(**of_key),
    ):
        with pytest.raises(ClientError) as error:
            refused()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    several = client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": source["Key"]}]})
    assert [each["Code"] for each in several["Errors"]] == ["AccessDenied"]


def test_the_reading_identity_reads_neither_landing_nor_spool(
    of: Callable[[str], S3Address],
) -> None:
    bucket = S3Bucket(of("reading"))

    assert bucket.keys_below("predictions/digits")
    for key in ("landing/digits/2026-11-22/a/rows.csv", "spool/digits/host/x"):
        with pytest.raises(StoreDenied):
            bucket.read(key, LIMIT)
