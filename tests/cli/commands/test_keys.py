"""`overnight keys`: creation, rotation, revocation and signing."""

import json

import pytest
from typer.testing import CliRunner

from overnight.cli.actions import status_notices
from overnight.cli.main import app
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.infra.stack.ports import free_port
from overnight.store.errors import ConfigurationError, UntrustedVersion
from overnight.store.objects import keys
from overnight.store.objects.digests import digest
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER, alias_log, named, registry, write_keys


@pytest.fixture
def overnight(tmp_path, monkeypatch):
    """Run the command in a home of its own, without serving."""
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_SERVING_PORT", str(free_port()))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_a_key_is_made_listed_rotated_and_revoked(overnight, tmp_path):
    overnight("new", "first")
    (first,) = json.loads(overnight("list", "--json"))["trusted"]
    assert (first["name"], first["signs"]) == ("first", True)

    output = overnight("rotate", "second")
    assert f"overnight keys revoke {first['id']}" in output
    assert "overnight keys trust second ed25519:" in output
    overnight("revoke", first["id"])

    document = json.loads(overnight("list", "--json"))
    assert [key["name"] for key in document["trusted"]] == ["second"]
    assert document["signing"] == document["trusted"][0]["id"] != first["id"]
    assert document["signing"] in overnight("list")
    assert "PRIVATE" not in overnight("list")


def test_a_key_is_trusted_by_the_command_that_another_home_prints(overnight, tmp_path):
    output = overnight("new", "later", "--file", str(tmp_path / "next.pem"))
    arguments = output.split("overnight keys trust ")[1].splitlines()[0].split()

    overnight("trust", *arguments)

    (trusted,) = json.loads(overnight("list", "--json"))["trusted"]
    assert trusted["name"] == "later"
    assert "nothing is signed here" in overnight("list")


def test_revoking_the_signing_key_prints_a_warning(overnight):
    overnight("new", "only")

    assert "it is still the signing key here" in overnight("revoke", "only")
    assert "signs here and is not trusted here" in overnight("list")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["trust", "name", "ssh-ed25519 AAAA"], "expected `ed25519:`"),
        (["trust", "na me", named(SIGNER).line.split()[1]], "a name has"),
        (["revoke", "nobody"], "no trusted key"),
        (["rotate", "next"], "overnight keys new"),
        (["sign", "digits"], "overnight keys new"),
    ],
)
def test_impossible_requests_are_errors(overnight, arguments, error):
    with pytest.raises(ConfigurationError, match=error):
        overnight(*arguments)


@pytest.fixture
def bucket(overnight, s3_address: S3Address, s3_bucket: S3Bucket, tmp_path, monkeypatch):
    """A store of an earlier release: its champion is not signed."""
    write_keys(tmp_path)
    settings = {
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    for name, body in FILES.items():
        s3_bucket.create(keys.version_file("digits", VERSION, name), body)
    s3_bucket.create(keys.manifest("digits", VERSION), manifest().encoded())
    alias_log(s3_bucket, "digits").append(VERSION, expected=None, actor=Actor("a test", "a test"))
    return s3_bucket


@pytest.mark.servers
def test_unsigned_versions_of_an_earlier_release_are_listed_and_signed_by_one_command(
    overnight, bucket
):
    (line,) = status_notices.unloadable_champions(bucket, trust := connections.trust(load()))
    assert f"digits {VERSION}" in line
    assert "`overnight keys sign digits`" in line

    assert f"{VERSION}: signed by {SIGNER.key_id}" in overnight("sign", "digits", "--yes")

    assert list(status_notices.unloadable_champions(bucket, trust)) == []
    assert "signed before" in overnight("sign", "digits", VERSION)


@pytest.mark.servers
def test_after_a_rotation_a_version_is_signed_again_before_the_old_key_is_revoked(
    overnight, bucket
):
    overnight("sign", "digits", VERSION)
    overnight("rotate", "new")
    overnight("sign", "digits")
    overnight("revoke", SIGNER.key_id)

    trust = Trust.from_file(load().trusted_keys)
    assert ModelRegistry(bucket, "digits", trust).trusted(VERSION).signer.name == "new"
    with pytest.raises(UntrustedVersion):
        ModelRegistry(bucket, "digits", Trust([named(SIGNER.new())])).trusted(VERSION)


@pytest.mark.servers
def test_a_version_that_was_tampered_with_is_named_and_not_signed(overnight, bucket):
    bucket.create(keys.version_file("digits", VERSION, "hook.py"), b"import os")

    done = CliRunner().invoke(app, ["keys", "sign", "digits", "--yes"])

    assert done.exit_code == 1
    assert "hook.py" in done.output
    assert ModelRegistry(bucket, "digits").signers(VERSION) == []


@pytest.mark.servers
def test_a_version_signed_by_an_untrusted_key_is_listed_and_not_signed(overnight, bucket):
    # given a version of ours, and one signed by another key, approved and made champion
    overnight("sign", "digits", VERSION)
    planted = manifest(version="20261123T020000-0123456789ab")
    ModelRegistry(bucket, planted.model).publish(planted, FILES, SIGNER.new())
    registry(bucket, "digits").decisions.decide(planted.version, "approved", Actor("x", "y"))
    alias_log(bucket, "digits").append(planted.version, expected=VERSION, actor=Actor("x", "y"))
    overnight("rotate", "new")

    done = CliRunner().invoke(app, ["keys", "sign", "digits"])

    new = json.loads(overnight("list", "--json"))["signing"]
    assert done.exit_code == 1
    assert f"{VERSION}: signed by {new}" in done.output
    assert planted.version in done.output
    assert digest(planted.encoded()) in done.output
    assert new in ModelRegistry(bucket, "digits").signers(VERSION)
    assert new not in ModelRegistry(bucket, "digits").signers(planted.version)


def test_one_damaged_log_and_names_that_are_no_models_hide_no_other_model():
    bucket = MemoryBucket()
    bucket.create("models/Foo/aliases/a/b/replicas/c", b"x")
    bucket.create(spoilt := keys.alias_record("broken", "champion", 1), b"{}")
    bucket.create(keys.manifest("digits", VERSION), manifest().encoded())
    alias_log(bucket, "digits").append(VERSION, expected=None, actor=Actor("a test", "a test"))

    broken, digits = status_notices.unloadable_champions(bucket, Trust([named(SIGNER)]))

    assert f"the newest record of the champion of broken does not count: {spoilt}" in broken
    assert f"digits {VERSION}" in digits
