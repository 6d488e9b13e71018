"""The dashboard without a champion, store, server or key, and for models without images."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.schema import Schema, TensorSpec
from tests.support.browser.page_watch import overflow, watch
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving import bucket_history, bundles
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import SIGNER, alias_log, registry
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

KEY = "a-key-for-tests-only"
NETWORK = Path(__file__).parents[1] / "goldens" / "tabular" / "predictor.tflite"
SHOP = Schema(
    inputs=(
        TensorSpec(
            name="price",
            datatype="FP32",
            shape=(),
            minimum=0,
            maximum=99,
            description="in euro",
            nullable=True,
        ),
        TensorSpec(name="promoted", datatype="BOOL", shape=()),
        TensorSpec(name="week", datatype="INT32", shape=(3,), vocabulary=("none", "few", "many")),
    ),
    outputs=(TensorSpec(name="units", datatype="FP32", shape=(1,)),),
)


@pytest.fixture
def bucket(s3_address: S3Address) -> S3Bucket:
    made = S3Bucket(s3_address)
    made.ensure()
    return made


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    with FaultProxy(s3_endpoint) as proxy:
        yield proxy


def lives(serving: Serving) -> bool:
    with suppress(OSError):
        return serving.request("GET", "/v2/health/live")[0] == 200
    return False


def sell(bucket: S3Bucket, model: str = "shop") -> str:
    """Publish and promote a model without image inputs."""
    files = {"predictor.tflite": NETWORK.read_bytes()}
    made = bundles.manifest(1, files, tensors=SHOP).model_copy(update={"model": model})
    versions = registry(bucket, model)
    versions.publish(made, files, SIGNER)
    versions.decisions.decide(made.version, "approved", Actor("a test", "to sell"))
    alias_log(bucket, model).append(made.version, expected=None, actor=Actor("a test", "to sell"))
    return made.version


def test_the_page_survives_a_missing_champion_store_and_server(
    page: Page, bucket: S3Bucket, s3_address: S3Address, proxy: FaultProxy, tmp_path: Path
) -> None:
    health = page.locator("#health")
    through = S3Address(proxy.endpoint, s3_address.bucket, ACCESS, SECRET)
    with run_serving(place=tmp_path, **follow_settings(through, serving_workers="1")) as serving:
        until(lambda: lives(serving), what="serving lives")
        page.goto(f"http://127.0.0.1:{serving.port}")
        expect(page.locator("#no-version")).to_contain_text("overnight retrain")
        expect(health).to_have_attribute("data-state", "down")
        expect(page.locator("#drawing-card")).to_be_hidden()

        bucket_history.publish(bucket, 1)
        bucket_history.promote(bucket, 1)
        expect(page.locator("#version")).to_have_text(bundles.version_name(1))
        expect(page.locator("#no-version")).to_be_hidden()
        expect(page.locator("#deployments-rows tr")).to_have_count(1)
        # With one approved version there is nothing to roll back to, and nothing to compare.
        expect(page.locator("#roll-back")).to_be_hidden()
        expect(page.locator("#compare-version")).to_be_disabled()

        proxy.inject(Fault(FaultKind.REFUSE))
        expect(health).to_have_attribute("data-state", "degraded")
        expect(page.locator("#sync-error")).to_contain_text("the object store")
        page.reload()
        expect(page.locator("#deployments-rows tr")).to_have_count(1)
        expect(page.locator("#version-rows tr").first).to_contain_text(bundles.version_name(1))
        proxy.heal()
        expect(health).to_have_attribute("data-state", "ready")

    expect(health).to_have_attribute("data-state", "down")
    expect(health).to_contain_text("cannot be reached")
    expect(page.locator("#version")).to_have_text(bundles.version_name(1))


def _has_report(serving: Serving) -> bool:
    """Whether the server lists a report to clients with a key."""
    body = serving.request("GET", "/api/models/digits/versions", **{"X-API-Key": KEY})[2]
    return any(item["report"] for item in body["versions"])


def test_a_server_that_requires_a_key_is_opened_with_one(
    page: Page, bucket: S3Bucket, s3_address: S3Address, tmp_path: Path
) -> None:
    bucket_history.publish(bucket, 1)
    bucket_history.promote(bucket, 1)
    keys = tmp_path / "keys"
    keys.write_text(f"ann {KEY}\n")
    keys.chmod(0o600)
    settings = follow_settings(s3_address, serving_workers="1", prediction_keys_file=str(keys))
    with run_serving(place=tmp_path / "home", **settings) as serving:
        until(serving.is_ready, what="serving is ready")
        until(lambda: _has_report(serving), what="a report can be read")
        seen = watch(page)
        page.goto(f"http://127.0.0.1:{serving.port}")
        expect(page.get_by_role("heading", name="API key required")).to_be_visible()
        expect(page.locator("#summary")).to_be_hidden()

        page.get_by_label("API key", exact=True).fill("not-the-key-of-anybody")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#key-error")).not_to_be_empty()

        page.get_by_label("API key", exact=True).fill(KEY)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#version")).to_have_text(bundles.version_name(1))
        expect(page.locator("#drawing-card")).to_be_visible()
        expect(page.locator("#key-prompt")).to_be_hidden()
        # A link carries no key, so it could only lead to a refusal.
        expect(page.locator("#version-rows tr").first).to_be_visible()
        expect(page.get_by_role("link", name="report")).to_have_count(0)
        assert not any(KEY in url for url in seen.requested)


@pytest.fixture
def shop(page: Page, bucket: S3Bucket, s3_address: S3Address, tmp_path: Path) -> Iterator[Page]:
    """The page of a host that serves a model with image inputs and one with a form."""
    bucket_history.publish(bucket, 1)
    bucket_history.promote(bucket, 1)
    version = sell(bucket)
    with run_serving(place=tmp_path, **follow_settings(s3_address, serving_workers="1")) as serving:
        until(serving.is_ready, what="serving is ready")
        page.goto(f"http://127.0.0.1:{serving.port}")
        page.locator("#models").get_by_role("link", name="shop").click()
        expect(page.locator("#version")).to_have_text(version)
        expect(page.locator("#tensors")).to_be_visible()
        yield page


def test_a_model_without_images_has_a_form_generated_from_its_tensors(shop: Page) -> None:
    price = shop.get_by_label("price", exact=True)
    assert (price.get_attribute("min"), price.get_attribute("max")) == ("0", "99")
    expect(shop.get_by_text("in euro · 0 to 99 · optional")).to_be_visible()
    expect(shop.locator("#drawing-card")).to_be_hidden()

    price.fill("2.5")
    shop.get_by_label("promoted").check()
    for place, sold in enumerate(("few", "many", "few"), start=1):
        shop.get_by_label(f"week, {place} of 3").select_option(label=sold)
    shop.get_by_role("button", name="Predict").click()

    expect(shop.locator("#result dd")).to_have_text("12")
    expect(shop.locator("#result")).to_contain_text(bundles.version_name(1))
    price.fill("")
    assert '"data": [\n    null\n   ]' in shop.get_by_label("Request body").input_value()
    # Typed values survive the next poll and a change to the other model.
    shop.locator("#models").get_by_role("link", name="digits").click()
    expect(shop.locator("#drawing-card")).to_be_visible()
    expect(shop.locator("#tensors")).to_be_hidden()


def test_values_outside_the_schema_are_refused_by_form_and_server(shop: Page) -> None:
    shop.get_by_label("price", exact=True).fill("100")
    shop.get_by_role("button", name="Predict").click()
    expect(shop.locator("#result")).to_be_empty()
    assert shop.evaluate("document.activeElement.id") == "field-price-0"

    # JSON edited by hand is checked by the server.
    shop.get_by_text("Request as JSON").click()
    shop.get_by_role("button", name="Predict").click()
    expect(shop.locator("#result .wrong")).to_contain_text("at most 99")
    shop.get_by_label("Request body").fill("{")
    shop.get_by_role("button", name="Predict").click()
    expect(shop.locator("#result .wrong")).to_contain_text("JSON")

    shop.set_viewport_size({"width": 360, "height": 740})
    assert overflow(shop) == 0
