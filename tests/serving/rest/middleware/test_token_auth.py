"""Tokens and their names: files, rotation, errors, and no token in logs."""

import logging
import os

import pytest
from flask import Flask

from overnight.serving.rest.middleware.token_auth import NO_TOKENS, Tokens
from overnight.serving.rest.resources import administrator
from overnight.store.errors import ConfigurationError
from tests.support.serving.clients import application_of
from tests.support.waiting import until

ANN, BEN, NEW = "a" * 32, "b" * 32, "n" * 32


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "tokens"
    rewrite(file, f"# who may come in\nann {ANN}\n\nben {BEN}  # until May\nann {NEW}\n")
    return file


def rewrite(file, text):
    """Replace the file, as a rotation of tokens does."""
    fresh = file.with_name("fresh")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(file)


@pytest.mark.parametrize(
    ("presented", "name"),
    [(ANN, "ann"), (NEW, "ann"), (BEN, "ben"), ("", None), (ANN[:-1], None), (ANN + "a", None),
     (ANN[:-1] + "b", None), ("é" * 32, None), ("\ud800", None), ("x" * 100_000, None)],
)  # fmt: skip
def test_a_token_has_the_name_in_its_line(file, presented, name):
    assert Tokens(file).name_of(presented) == name


def test_a_token_from_the_environment_is_valid_in_addition_to_the_file(file):
    tokens = Tokens(file, token="e" * 32)

    assert tokens.name_of("e" * 32) == "operator"
    assert tokens.name_of(ANN) == "ann"
    assert NO_TOKENS.name_of("") is None


def test_tokens_are_rotated_without_a_restart(file):
    tokens = Tokens(file, reload_seconds=0)

    rewrite(file, f"ann {NEW}\n")

    until(lambda: tokens.name_of(ANN) is None, what="the old token is not known any more")
    assert tokens.name_of(NEW) == "ann"


def test_an_empty_file_revokes_all_tokens(file):
    tokens = Tokens(file, reload_seconds=0)

    rewrite(file, "# nobody\n")

    until(lambda: tokens.name_of(ANN) is None, what="nobody is known any more")
    assert tokens.configured


@pytest.mark.parametrize("text", ["ann\n", None, "ann short\n"])
def test_a_file_that_becomes_invalid_is_logged_and_its_tokens_stay_valid(file, caplog, text):
    tokens = Tokens(file, reload_seconds=0)

    if text is None:
        file.unlink()
    else:
        rewrite(file, text)

    until(lambda: tokens.name_of(ANN) and caplog.records, what="the error is logged")
    assert tokens.name_of(ANN) == "ann"
    assert "stay valid" in caplog.text
    rewrite(file, f"ben {BEN}\n")
    until(lambda: tokens.name_of(ANN) is None, what="the mended file is read")


def test_a_corrected_file_with_unchanged_size_and_time_is_read(file, caplog):
    # Given a file that becomes invalid, which is logged.
    tokens = Tokens(file, reload_seconds=0)
    good = f"ann {NEW}\n"
    rewrite(file, good.replace(" ", "_"))
    broken = file.stat()
    until(lambda: tokens.name_of(ANN) and caplog.records, what="the error is logged")

    # When it is corrected without a change of inode, size or time.
    file.write_text(good)
    os.utime(file, ns=(broken.st_atime_ns, broken.st_mtime_ns))

    until(lambda: tokens.name_of(NEW) == "ann", what="the mended file is read")
    assert tokens.name_of(ANN) is None
    assert caplog.text.count("stay valid") == 1


def test_a_file_that_stays_invalid_is_logged_once(file, caplog):
    tokens = Tokens(file, reload_seconds=0)
    rewrite(file, "ann short\n")
    file.chmod(0o644)

    for _ in range(20):
        tokens.name_of(ANN)

    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann\n", "line 1"),
        ("\nann short\n", "line 2"),
        (f"ann {ANN} {BEN}\n", "line 1"),
        (f"a/b {ANN}\n", "line 1"),
        (f"ann {ANN}\nben {ANN}\n", "belongs to ann"),
        ("ann gespürtes-wort-sechzehn\n", "line 1"),
    ],
)
def test_the_error_of_a_line_does_not_contain_its_token(tmp_path, text, message):
    rewrite(tmp_path / "tokens", text)

    with pytest.raises(ConfigurationError) as raised:
        Tokens(tmp_path / "tokens", settings=("OVERNIGHT_ADMIN_TOKENS_FILE", "…"))

    assert "OVERNIGHT_ADMIN_TOKENS_FILE" in str(raised.value)
    assert message in str(raised.value)
    assert not any(token in str(raised.value) for token in (ANN, BEN, "short", "gespürtes"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_the_error_names_an_unreadable_file(tmp_path, content):
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationError, match=str(file)):
        Tokens(file)


def test_lenient_tokens_start_empty_and_read_the_corrected_file(file):
    good = file.read_text()
    rewrite(file, "broken\n")
    tokens = Tokens(file, lenient=True, reload_seconds=0)
    assert tokens.name_of(ANN) is None

    rewrite(file, good)

    until(lambda: tokens.name_of(ANN) == "ann", what="the mended file is read")


def test_a_world_readable_file_causes_a_warning(file, caplog):
    file.chmod(0o644)

    Tokens(file, settings=("OVERNIGHT_ADMIN_TOKENS_FILE", "…"))

    assert "chmod 600" in caplog.text


@pytest.mark.parametrize("token", ["short", "with a space in it", "ü" * 20])
def test_a_weak_token_is_refused_and_not_in_the_error(token):
    with pytest.raises(ConfigurationError) as raised:
        Tokens(token=token, settings=("…", "OVERNIGHT_ADMIN_TOKEN"))

    assert "OVERNIGHT_ADMIN_TOKEN" in str(raised.value)
    assert token not in str(raised.value)


def test_tokens_are_in_no_repr_and_no_log(file, caplog):
    caplog.set_level(logging.DEBUG)

    tokens = Tokens(file, token="e" * 32)
    tokens.name_of(BEN)

    shown = repr(tokens) + repr(vars(tokens)) + caplog.text
    assert not any(token in shown for token in (ANN, BEN, NEW, "e" * 32))


def guarded(tokens: Tokens) -> Flask:
    """A client of an application with a route for administrators only."""
    application = application_of(administrators=tokens).application
    application.add_url_rule("/api/who", view_func=administrator)
    return application.test_client()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {ANN}", 200),
        (f"bearer  {ANN}", 200),
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer " + "z" * 32, 401),
        (f"Basic {ANN}", 401),
        (ANN, 401),
    ],
)
def test_an_administrator_is_authenticated_by_bearer_token(file, header, status):
    headers = {} if header is None else {"Authorization": header}

    response = guarded(Tokens(file)).get("/api/who", headers=headers)

    assert response.status_code == status
    if status == 200:
        assert response.text == "ann"
    else:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.content_type == "application/problem+json"
        assert "Authorization: Bearer" in response.json["detail"]


def test_without_administrators_the_error_names_the_setting():
    response = guarded(NO_TOKENS).get("/api/who", headers={"Authorization": "Bearer " + ANN})

    assert response.status_code == 403
    assert "OVERNIGHT_ADMIN_TOKENS_FILE" in response.json["detail"]
