"""What an earlier release left unsigned is signed once, before serving starts."""

import pytest

from overnight.infra.settings import load
from overnight.infra.stack.record_signing import marker, sign_records_once
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER, TRUST, write_keys

NEXT = "20261123T020000-0123456789ab"


@pytest.mark.servers
def test_a_start_signs_what_is_there_and_a_later_one_signs_nothing(
    s3_address: S3Address, s3_bucket: S3Bucket, tmp_path, monkeypatch
):
    # Given a champion as an earlier release left it.
    write_keys(tmp_path)
    settings = {
        "HOME": str(tmp_path),
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    old = ModelRegistry(s3_bucket, "digits")
    for version in (VERSION, NEXT):
        old.publish(manifest(version=version), FILES, SIGNER)
    old.decisions.decide(VERSION, "approved", Actor("gates"))
    Promotions(old).promote(VERSION, expected=None, actor=Actor("gates"))

    sign_records_once(load())

    # Then it is approved and champion by signatures, and the home says so.
    signed = ModelRegistry(s3_bucket, "digits", TRUST)
    assert signed.decisions.approval(signed.manifest(VERSION)) is not None
    assert [entry.problem for entry in signed.champion.entries()] == [None]
    assert marker(load()).exists()

    # When somebody adds a record and an approval, and everything starts again, they stay unsigned.
    old.decisions.decide(NEXT, "approved", Actor("a forger"))
    old.champion.append(NEXT, expected=VERSION, actor=Actor("a forger"))
    sign_records_once(load())
    assert signed.champion_version() == VERSION
