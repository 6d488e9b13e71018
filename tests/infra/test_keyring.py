"""The files of keys: made once, never overwritten, and never without a key that is trusted."""

import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from overnight.infra import identities, keyring
from overnight.infra.settings import Settings
from overnight.store.errors import ConfigurationError, UntrustedVersion
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import PublicKey, Trust
from tests.support.signing_keys import SIGNER, named

BODY = b'{"format": 1}'


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path)


def test_a_home_gets_one_key_that_signs_and_is_trusted_once(settings):
    assert keyring.ensure(settings)
    signed = Signer.from_file(settings.signing_key).sign(BODY)
    assert not keyring.ensure(settings)

    assert Signer.from_file(settings.signing_key).sign(BODY) == signed
    trusted = Trust.from_file(settings.trusted_keys)
    assert trusted.verify(BODY, [signed]).name == "this-machine"


def test_a_home_of_an_earlier_release_gets_the_keys_that_it_lacks(settings):
    # Given the key of training and its line without rights.
    keyring.new(settings, name="this-machine")
    before = settings.signing_key.read_bytes()
    assert len(settings.trusted_keys.read_text().splitlines()[-1].split()) == 2

    assert keyring.ensure(settings)
    assert not keyring.ensure(settings)

    # Then each identity has a key of its own, trusted for what it writes and for nothing else.
    assert settings.signing_key.read_bytes() == before
    rights = {key.name: key.rights_text for key in keyring.trusted(settings.trusted_keys)}
    assert rights == {
        "this-machine": "versions,gates",
        "this-machine-administration": "decisions,aliases",
        "this-machine-operator": "decisions,aliases",
        "this-machine-serving": "withdrawals",
    }
    own = {keyring.signing(settings, identity) for identity in identities.SIGNING}
    assert own == {key.key_id for key in keyring.trusted(settings.trusted_keys)}
    modes = {stat.S_IMODE(settings.key_of(one).stat().st_mode) for one in identities.SIGNING}
    assert modes == {0o600}


def test_a_key_whose_file_was_lost_is_made_anew_under_another_name(settings):
    keyring.ensure(settings)
    settings.key_of("serving").unlink()

    assert keyring.ensure(settings)

    names = {key.name for key in keyring.trusted(settings.trusted_keys)}
    assert "this-machine-serving-2" in names


@pytest.mark.parametrize("identity", identities.SIGNING)
def test_the_key_of_each_identity_is_rotated_and_revoked(settings, identity):
    keyring.ensure(settings)
    old = keyring.signing(settings, identity)

    new, replaced = keyring.rotate(settings, name="new", of=identity)
    keyring.revoke(settings.trusted_keys, replaced)

    assert replaced == old
    assert keyring.signing(settings, identity) == new.key_id
    (line,) = [key for key in keyring.trusted(settings.trusted_keys) if key.name == "new"]
    assert line.rights == keyring.RIGHTS[identity]


def test_only_this_user_can_read_the_private_key(settings):
    keyring.ensure(settings)

    assert stat.S_IMODE(settings.signing_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.signing_key.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["signing_key_file", "trusted_keys_file"])
def test_a_home_whose_keys_somebody_keeps_elsewhere_gets_none(tmp_path, name):
    settings = Settings(home=tmp_path / "home", **{name: tmp_path / "elsewhere"})

    assert not keyring.ensure(settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", ["signing.pem", "trusted"])
def test_a_home_that_was_set_up_is_left_as_it_is(settings, tmp_path, kept):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / kept).write_text("")

    assert not keyring.ensure(settings)
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [kept]


def test_a_key_that_signs_is_never_overwritten(settings):
    keyring.new(settings, name="first")
    before = settings.signing_key.read_bytes()

    with pytest.raises(ConfigurationError, match="keys rotate"):
        keyring.new(settings, name="second")

    assert settings.signing_key.read_bytes() == before


def test_a_rotation_signs_with_the_new_key_and_trusts_both_until_the_old_is_revoked(settings):
    old = keyring.new(settings, name="old")
    by_old = Signer.from_file(settings.signing_key).sign(BODY)

    new, replaced = keyring.rotate(settings, name="new")
    by_new = Signer.from_file(settings.signing_key).sign(BODY)

    trust = Trust.from_file(settings.trusted_keys)
    assert replaced == old.key_id == by_old.key_id
    assert (trust.verify(BODY, [by_old]), trust.verify(BODY, [by_new])) == (old, new)
    assert stat.S_IMODE(settings.signing_key.stat().st_mode) == 0o600

    keyring.revoke(settings.trusted_keys, "old")
    assert trust.verify(BODY, [by_new]) == new
    with pytest.raises(UntrustedVersion, match="revoked"):
        trust.verify(BODY, [by_old])


def test_a_key_made_before_is_trusted_elsewhere_first_and_moves_in(settings, tmp_path):
    keyring.new(settings, name="old")
    later = keyring.create_for_later(tmp_path / "next.pem", name="later")
    assert keyring.signing(settings) != later.key_id
    keyring.trust(settings.trusted_keys, later)

    rotated, _ = keyring.rotate(settings, name="later", to=tmp_path / "next.pem")

    assert rotated == later
    assert keyring.signing(settings) == later.key_id
    assert not (tmp_path / "next.pem").exists()


def test_a_key_beside_the_one_that_signs_is_nobodys_draft(settings):
    keyring.new(settings, name="old")
    beside = settings.signing_key.with_suffix(".next")
    later = keyring.create_for_later(beside, name="later")
    body = beside.read_bytes()

    keyring.rotate(settings, name="new")
    assert beside.read_bytes() == body

    rotated, _ = keyring.rotate(settings, name="later", to=beside)
    assert (rotated, keyring.signing(settings)) == (later, later.key_id)
    names = {path.name for path in settings.signing_key.parent.iterdir()}
    assert {name for name in names if not name.endswith(".lock")} == {"signing.pem", "trusted"}


def test_the_key_that_signs_is_no_other_one_to_rotate_to(settings):
    key = keyring.new(settings, name="only")

    with pytest.raises(ConfigurationError, match="signs for training already"):
        keyring.rotate(settings, name="other", to=settings.signing_key)

    assert keyring.signing(settings) == key.key_id


def test_without_a_key_there_is_nothing_to_rotate(settings):
    with pytest.raises(ConfigurationError, match="overnight keys new"):
        keyring.rotate(settings, name="new")

    assert keyring.trusted(settings.trusted_keys) == []


def test_comments_and_other_keys_stay_when_one_is_revoked(settings):
    keyring.new(settings, name="ours")
    file = settings.trusted_keys
    file.write_text(file.read_text() + f"# from the other site\n{named(SIGNER, 'theirs').line}\n")

    gone = keyring.revoke(file, named(SIGNER).key_id)

    assert gone == named(SIGNER, "theirs")
    assert [key.name for key in keyring.trusted(file)] == ["ours"]
    assert "# from the other site" in file.read_text()
    assert f"theirs ({SIGNER.key_id})" in file.read_text().split("# revoked")[1]


def test_who_is_not_trusted_cannot_be_revoked(settings):
    key = keyring.new(settings, name="ours")

    with pytest.raises(ConfigurationError, match=f"'theirs'; there are: ours .{key.key_id}"):
        keyring.revoke(settings.trusted_keys, "theirs")


@pytest.mark.parametrize("again", [named(SIGNER, "first"), named(SIGNER, "other")])
def test_a_name_or_key_is_trusted_once(settings, again):
    keyring.trust(settings.trusted_keys, named(SIGNER, "first"))

    with pytest.raises(ConfigurationError, match="already"):
        keyring.trust(settings.trusted_keys, again)


def test_of_keys_that_are_trusted_at_the_same_instant_none_is_lost(settings):
    keyring.new(settings, name="first")
    made = [PublicKey(f"key-{number}", Signer.new().public_key) for number in range(8)]
    start = threading.Barrier(len(made))

    def trust(key: PublicKey) -> None:
        start.wait()
        keyring.trust(settings.trusted_keys, key)

    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(trust, made))

    names = {key.name for key in keyring.trusted(settings.trusted_keys)}
    assert names == {"first", *(key.name for key in made)}


def test_of_two_that_make_the_key_at_the_same_instant_one_learns_of_the_other(settings):
    start = threading.Barrier(2)

    def new(name: str) -> str:
        start.wait()
        try:
            return keyring.new(settings, name=name).key_id
        except ConfigurationError:
            return ""

    with ThreadPoolExecutor(2) as pool:
        made = sorted(pool.map(new, ("one", "other")))

    assert made == ["", keyring.signing(settings)]
    assert len(keyring.trusted(settings.trusted_keys)) == 1
