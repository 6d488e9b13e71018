"""Authentication of requests, CORS, security headers, and the request log."""

import logging

import pytest

from overnight.infra.logging import JsonFormatter
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.serving.rest.static_files import static_path
from tests.support.serving.clients import (
    IMAGES,
    INFER,
    PREDICT,
    VERSION,
    application_of,
    refused,
    v2,
)

KEY, OTHER, ADMIN = "k" * 32, "o" * 32, "d" * 32
ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A client of a server with the keys `shop` and `lab`, and one administrator."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"shop {KEY}\nlab {OTHER}\n")
    return application_of(
        admission=Admission(keys=Tokens(file), log_requests=True),
        administrators=Tokens(token=ADMIN),
    )


@pytest.mark.parametrize("headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"},
                                     {"Authorization": f"Bearer {ADMIN}"}])  # fmt: skip
@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_requests_with_a_valid_key_are_admitted(locked, path, headers):
    body = v2() if path == INFER else {"instances": IMAGES.tolist()}

    response = locked.post(path, json=body, headers=headers)

    assert response.status_code == 200
    assert response.headers["X-Model-Version"] == VERSION


@pytest.mark.parametrize(
    ("path", "form"),
    [(INFER, "error"), (PREDICT, "error"), ("/v2", "error"), ("/api/models", "detail")],
)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "x" * 32}, {"X-API-Key": ""},
                                     {"Authorization": f"Basic {KEY}"}])  # fmt: skip
def test_without_a_valid_key_the_protocol_error_is_401(locked, path, form, headers):
    response = locked.open(
        path, method="POST" if path in {INFER, PREDICT} else "GET", headers=headers
    )

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert len(response.headers["X-Request-Id"]) == 32
    assert "a key is needed" in response.json[form]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/metrics", "/",
                                  f"{static_path()}/page.css"])  # fmt: skip
def test_health_metrics_and_pages_need_no_key(locked, path):
    with locked.get(path) as response:
        assert response.status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "x" * 32}, {"X-API-Key": KEY}])
def test_refresh_needs_no_key(locked, headers):
    response = locked.post("/api/models/digits/refresh", headers=headers)

    assert response.status_code == 202


def test_refresh_lists_no_models_without_a_key(locked, client):
    closed = locked.post("/api/models/nothing/refresh")
    open_to_all = client.post("/api/models/nothing/refresh")

    assert (closed.status_code, open_to_all.status_code) == (404, 404)
    assert "digits" not in closed.text
    assert "digits" in open_to_all.text


@pytest.mark.parametrize("path", ["/api/models/refresh", "/api/models/digits/versions/refresh",
                                  "/api/models/digits/versions/x/refresh", "/api/models//refresh",
                                  "/v2/models/digits/refresh"])  # fmt: skip
def test_other_paths_named_refresh_need_a_key(locked, path):
    response = locked.get(path)

    assert response.status_code in {308, 401, 404, 405}
    assert "digits" not in response.text.replace(path, "")


@pytest.mark.parametrize("path", ["/static/../api/models", "/v2/health/live/../../models/digits",
                                  "//api/models", "/metrics/"])  # fmt: skip
def test_paths_that_resemble_open_ones_need_a_key(locked, path):
    assert locked.get(path).status_code in {401, 404}


def test_refusals_are_counted_by_reason_and_logged_with_the_client(locked, caplog):
    caplog.set_level(logging.INFO)
    counted = refused(locked, "unknown_token")

    locked.post(INFER, json=v2(), headers={"X-API-Key": "x" * 32, "X-Request-Id": "told-1"})
    locked.post(INFER, json=v2(), headers={"X-API-Key": KEY, "X-Request-Id": "told-2"})

    assert refused(locked, "unknown_token") == counted + 1
    kept_out, answered = caplog.records[-2:]
    assert (kept_out.status, kept_out.request_id, kept_out.version) == (401, "told-1", None)
    assert (answered.status, answered.request_id) == (200, "told-2")
    assert (answered.client, answered.version) == ("shop", VERSION)
    assert '"client": "shop"' in JsonFormatter().format(answered)
    written = "".join(JsonFormatter().format(record) for record in caplog.records)
    assert not any(secret in written for secret in (KEY, OTHER, ADMIN, "x" * 32))


def test_successful_requests_are_logged_only_if_configured(client, caplog):
    caplog.set_level(logging.INFO)

    assert client.post(INFER, json=v2()).status_code == 200
    client.post(INFER, data=b"{", content_type="application/json")

    assert [record.status for record in caplog.records] == [400]


def test_wrong_keys_count_against_the_rate_of_the_address(tmp_path):
    (tmp_path / "keys").write_text(f"shop {KEY}\n")
    client = application_of(
        limits=Limits(per_second=0.5), admission=Admission(keys=Tokens(tmp_path / "keys"))
    )

    tries = [client.get("/v2", headers={"X-API-Key": "x" * 32}).status_code for _ in range(3)]

    assert tries == [401, 429, 429]
    assert client.get("/v2", headers={"X-API-Key": KEY}).status_code == 200


def test_cors_headers_are_sent_to_allowed_origins_only(client):
    named = application_of(admission=Admission(origins=(ORIGIN,)))

    for sender, origin, allowed in (
        (client, ORIGIN, None),
        (named, ORIGIN, ORIGIN),
        (named, "https://app.example.evil", None),
        (named, "null", None),
    ):
        response = sender.post(INFER, json=v2(), headers={"Origin": origin})
        assert response.status_code == 200
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_preflight_is_answered_without_a_key(tmp_path):
    (tmp_path / "keys").write_text(f"shop {KEY}\n")
    client = application_of(admission=Admission(origins=(ORIGIN,), keys=Tokens(tmp_path / "keys")))
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}

    response = client.options(INFER, headers=headers)
    other = client.options(INFER, headers=headers | {"Origin": "https://evil.example"})
    refused = client.post(INFER, json=v2(), headers={"Origin": ORIGIN})

    assert (response.status_code, other.status_code, refused.status_code) == (204, 401, 401)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-API-Key" in response.headers["Access-Control-Allow-Headers"]
    assert response.headers["Vary"] == "Origin"
    # Scripts of an allowed origin may read errors as well.
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    "path", ["/", "/v2", "/nowhere", "/api/models", f"{static_path()}/page.css"]
)
def test_every_response_has_security_headers(client, path):
    with client.get(path) as response:
        headers = response.headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert "Strict-Transport-Security" not in headers
    assert "Werkzeug" not in headers.get("Server", "")


def test_readiness_lists_models_only_with_a_key(locked):
    unknown = locked.get("/v2/health/ready")
    known = [locked.get("/v2/health/ready", headers=headers).json for headers in
             ({"X-API-Key": KEY}, {"Authorization": f"Bearer {ADMIN}"})]  # fmt: skip

    assert (unknown.status_code, unknown.json) == (200, {"ready": True})
    assert [item["models"] for item in known] == [{"digits": True}] * 2


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": "mine-1"}])
def test_an_internal_error_is_logged_with_request_id_and_version(caplog, monkeypatch, headers):
    def fail(*_: object) -> object:
        raise RuntimeError("a fault of ours")

    client = application_of()
    monkeypatch.setattr("overnight.serving.inference.runtime.Predictor.predict", fail)

    response = client.post(INFER, json=v2(), headers=headers)

    (logged,) = [record for record in caplog.records if record.exc_info]
    assert response.status_code == 500
    assert logged.request_id == response.headers["X-Request-Id"]
    assert logged.request_id == headers.get("X-Request-Id", logged.request_id)
    assert logged.version == response.headers["X-Model-Version"] == VERSION
    assert '"request_id": "' in JsonFormatter().format(logged).replace('":"', '": "')


def test_a_request_has_one_id_in_fast_path_and_flask():
    client = application_of()

    first, second = (client.post(INFER, json={}).headers["X-Request-Id"] for _ in range(2))

    assert [int(item[-12:], 16) for item in (first, second)] == [1, 2]
