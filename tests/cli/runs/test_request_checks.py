"""Typing errors are refused before a run is made of them."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from overnight.cli import main
from overnight.cli.errors import WrongArgument
from overnight.cli.runs import request_checks
from overnight.infra import connections
from overnight.infra.stack.ports import free_port
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER, alias_log


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path) -> MemoryBucket:
    """One version, which is champion; Prefect is not reachable, so a run would be an error."""
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    alias_log(bucket, "digits").append(VERSION, expected=None, actor=Actor("ada"))
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    monkeypatch.setattr(connections, "bucket", lambda _settings, **_options: bucket)
    return bucket


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "digits", "2027", "--reason", "x"], "digits has no version '2027'"),
        (["approve", "digits", "abc"], "digits has no version 'abc'"),
        (["reject", "nosuch", VERSION, "--reason", "x"], "no model is called 'nosuch'"),
        (["rollback", "digits", "--reason", "x"], "nothing served digits before .*--to"),
        (["rollback", "sales", "--reason", "x"], "sales has no champion yet"),
        (["rollback", "digits", "--to", "2027", "--reason", "x"], "no version '2027'"),
        (["challenge", "digits", "2027", "--shadow", "--reason", "x"], "no version '2027'"),
        (["reproduce", "digits@2027"], "no version '2027'"),
        (["exclude", "nosuch", "run-1", "--reason", "x"], "no model is called 'nosuch'"),
    ],
)
def test_a_typing_error_starts_no_run(
    bucket: MemoryBucket, arguments: list[str], message: str
) -> None:
    ended = CliRunner().invoke(main.app, arguments)

    # With a run the error would be that Prefect does not answer.
    assert isinstance(ended.exception, WrongArgument)
    with pytest.raises(WrongArgument, match=message):
        raise ended.exception


def test_a_request_is_about_the_whole_name(bucket: MemoryBucket) -> None:
    assert request_checks.version("digits", VERSION[:13]) == VERSION


def test_what_can_be_rolled_back_is(bucket: MemoryBucket) -> None:
    later = "20261123T020000-0123456789ab"
    ModelRegistry(bucket, "digits").publish(manifest(version=later), FILES, SIGNER)
    alias_log(bucket, "digits").append(later, expected=VERSION, actor=Actor("ada"))

    request_checks.rollback("digits")


@pytest.mark.parametrize(
    "check",
    [
        lambda: request_checks.rollback("digits"),
        lambda: request_checks.arrival("digits", "nonexistent", excluded=True),
    ],
    ids=["rollback", "arrival"],
)
def test_without_the_store_only_the_run_checks(
    check: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")

    check()


def test_a_wrong_argument_exits_with_2(
    bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["overnight", "approve", "digits", "abc"])

    with pytest.raises(SystemExit) as ended:
        main._run()

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("overnight: digits has no version 'abc'")
