"""Files of trusted keys, and every reason to refuse a version."""

import pytest

from overnight.store.errors import ConfigurationError, UntrustedVersion
from overnight.store.trust.signing import Signature
from overnight.store.trust.trusted_keys import PublicKey, Trust, parse
from tests.support.signing_keys import SIGNER, TRUST, named, signer

BODY = b'{"format": 1}'
OTHER = signer("another")
SIGNED = SIGNER.sign(BODY)


def test_a_trusted_signature_identifies_its_key() -> None:
    assert TRUST.verify(BODY, [SIGNED]) == named(SIGNER)


def test_one_trusted_signature_among_others_is_enough() -> None:
    damaged = Signature(SIGNER.key_id, BODY, bytes(64))

    assert TRUST.verify(BODY, [OTHER.sign(BODY), damaged, SIGNED]).name == "tests"


def test_two_keys_are_trusted_while_one_replaces_the_other() -> None:
    both = Trust([named(SIGNER, "old"), named(OTHER, "new")])

    assert both.verify(BODY, [SIGNED]).name == "old"
    assert both.verify(BODY, [OTHER.sign(BODY)]).name == "new"


def test_the_error_for_an_unsigned_version_says_how_to_sign_it() -> None:
    with pytest.raises(UntrustedVersion, match=r"not signed; .*`overnight keys sign digits v1`"):
        TRUST.verify(BODY, [], version="digits v1")


def test_an_unknown_key_is_named_with_the_trusted_ones() -> None:
    with pytest.raises(UntrustedVersion) as refusal:
        TRUST.verify(BODY, [OTHER.sign(BODY)], version="digits v1")

    message = str(refusal.value)
    assert f"signed by {OTHER.key_id}, which is not trusted here or was revoked" in message
    assert f"tests ({SIGNER.key_id})" in message
    assert "overnight keys trust" in message


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (BODY + b" ", SIGNED),
        (BODY, Signature(SIGNER.key_id, BODY, bytes(64))),
        (BODY, Signature(SIGNER.key_id, BODY + b" ", SIGNED.signature)),
        (BODY, Signature(SIGNER.key_id, BODY, OTHER.sign(BODY).signature)),
        (BODY + b" ", Signature(SIGNER.key_id, BODY + b" ", SIGNED.signature)),
    ],
)
def test_a_changed_manifest_or_signature_is_reported_with_its_digest(body, signature) -> None:
    with pytest.raises(
        UntrustedVersion, match=r"does not match its current manifest, sha256 [0-9a-f]{64}"
    ):
        TRUST.verify(body, [signature])


def test_a_file_is_read_again_when_it_changes(tmp_path) -> None:
    file = tmp_path / "trusted"
    trust = Trust.from_file(file)
    with pytest.raises(ConfigurationError, match=r"no key is trusted here .*trusted\)"):
        trust.verify(BODY, [SIGNED])

    file.write_text(f"# ours\n\n{named(OTHER, 'first').line} # until spring\n")
    with pytest.raises(UntrustedVersion, match=f"signed by {SIGNER.key_id}"):
        trust.verify(BODY, [SIGNED])

    file.write_text(f"{named(OTHER, 'first').line}\n{named(SIGNER, 'second').line}\n")
    assert trust.verify(BODY, [SIGNED]).name == "second"

    # Revoked.
    file.write_text(named(OTHER, "first").line)
    with pytest.raises(UntrustedVersion, match="revoked"):
        trust.verify(BODY, [SIGNED])

    file.unlink()
    with pytest.raises(ConfigurationError, match="no key is trusted"):
        trust.verify(BODY, [SIGNED])


KEY = named(SIGNER).line.split()[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lonely", "expected `name ed25519:"),
        (f"a b {KEY}", "expected `name ed25519:"),
        (f"na/me {KEY}", "a name has"),
        ("name ed25519:AAAA", "the base64 of 32 bytes"),
        ("name ed25519:***", "the base64 of 32 bytes"),
        (f"name {KEY.removeprefix('ed25519:')}", "expected `ed25519:`"),
        (f"name rsa:{KEY.removeprefix('ed25519:')}", "expected `ed25519:`"),
        (f"tests {named(OTHER).line.split()[1]}", "of a line above"),
        (f"twice {KEY}", "of a line above"),
    ],
)
def test_an_invalid_line_is_reported_by_its_number(line, message) -> None:
    with pytest.raises(ConfigurationError, match="line 2 of there") as refusal:
        parse(f"{named(SIGNER).line}\n{line}\n", "there")

    assert message in str(refusal.value)


def test_no_key_is_trusted_while_the_file_is_invalid(tmp_path) -> None:
    file = tmp_path / "trusted"
    file.write_text(named(SIGNER).line)
    trust = Trust.from_file(file)
    trust.verify(BODY, [SIGNED])

    file.write_bytes(b"\xff\xfe")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="not text"):
            trust.verify(BODY, [SIGNED])

    file.write_text(named(SIGNER, "again").line)
    assert trust.verify(BODY, [SIGNED]).name == "again"


def test_a_line_without_rights_may_sign_what_training_signs() -> None:
    plain = PublicKey("training", SIGNER.public_key)

    (key,) = parse(plain.line, "there")

    assert key.rights_text == "versions,gates"
    assert len(plain.line.split()) == 2


def test_a_line_names_what_its_key_may_sign() -> None:
    (key,) = parse(named(SIGNER, "people", "aliases", "decisions").line, "there")

    assert key.rights == {"decisions", "aliases"}
    with pytest.raises(ConfigurationError, match="found everything"):
        parse(f"{PublicKey('all', SIGNER.public_key).line} everything", "there")


def test_a_key_without_the_right_for_versions_signs_none() -> None:
    trust = Trust([named(SIGNER, "people", "decisions")])

    with pytest.raises(UntrustedVersion, match="which may not sign versions"):
        trust.verify(b"{}", [SIGNER.sign(b"{}")])
