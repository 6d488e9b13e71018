"""Signatures follow DSSE, and invalid key files are refused."""

import base64
import json
import subprocess

import pytest

from overnight.store.errors import ConfigurationError, CorruptVersion
from overnight.store.trust import signing
from overnight.store.trust.signing import PAYLOAD_TYPE, Signer
from tests.support.signing_keys import SIGNER

BODY = b'{"format": 1, "model": "digits"}'


def test_the_signed_bytes_include_type_and_lengths() -> None:
    length = len(PAYLOAD_TYPE)

    assert signing.encoding(b"hello") == f"DSSEv1 {length} {PAYLOAD_TYPE} 5 hello".encode()


def test_an_envelope_contains_the_payload_and_reads_back() -> None:
    made = SIGNER.sign(BODY)

    envelope = json.loads(made.encoded())

    assert envelope["payloadType"] == PAYLOAD_TYPE
    assert base64.b64decode(envelope["payload"]) == BODY
    assert [signature["keyid"] for signature in envelope["signatures"]] == [SIGNER.key_id]
    assert signing.decode(made.encoded(), where="here") == made


def test_the_same_bytes_always_get_the_same_signature() -> None:
    assert SIGNER.sign(BODY) == SIGNER.sign(BODY)
    assert SIGNER.sign(BODY).signature != SIGNER.sign(BODY + b" ").signature


def _changed(**fields: object) -> bytes:
    return json.dumps(json.loads(SIGNER.sign(BODY).encoded()) | fields).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"[" * 100_000,
        _changed(signatures=[]),
        _changed(signatures=[{}, {}]),
        _changed(signatures=[{"keyid": "a", "sig": "***"}]),
        _changed(signatures=[{"keyid": "a", "sig": "QUJD"}]),
        _changed(payload=7),
        _changed(payload="*"),
        _changed(payloadType="text/plain"),
    ],
)
def test_an_invalid_envelope_is_refused_with_its_key(body: bytes) -> None:
    with pytest.raises(CorruptVersion, match="where it is: expected"):
        signing.decode(body, where="where it is")


def test_a_private_key_reads_back_from_its_file(tmp_path) -> None:
    file = tmp_path / "signing.pem"
    file.write_bytes(SIGNER.pem())

    read = Signer.from_file(file)

    assert (read.key_id, read.sign(BODY)) == (SIGNER.key_id, SIGNER.sign(BODY))


def test_the_error_for_a_missing_key_says_how_to_make_one(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=r"no key .*missing\.pem; `overnight keys new`"):
        Signer.from_file(tmp_path / "missing.pem")


@pytest.mark.parametrize("algorithm", ["EC", "none"])
def test_a_file_with_another_kind_of_key_is_refused_without_showing_it(tmp_path, algorithm) -> None:
    file = tmp_path / "signing.pem"
    if algorithm == "none":
        file.write_text("a secret that is no key")
    else:
        options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(file)]
        subprocess.run(["openssl", "genpkey", *options], check=True, capture_output=True)

    with pytest.raises(ConfigurationError, match="expected an unencrypted Ed25519") as refusal:
        Signer.from_file(file)

    assert "a secret" not in str(refusal.value)
