"""docs/requests.md: every request on the page is sent, and answered as the page says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from tests.support.serving import published
from tests.support.serving.clients import application_of

PAGE = (Path(__file__).parents[3] / "docs" / "requests.md").read_text("utf-8")
EXAMPLES = re.findall(r"```http\nPOST (\S+)\n\n(.*?)```\n```json\n(.*?)```", PAGE, re.DOTALL)
SETTINGS = re.findall(r"`OVERNIGHT_(MAXIMUM_\w+)` \| ([\d,]+)", PAGE)


@pytest.fixture(scope="module")
def clients() -> dict[str, FlaskClient]:
    return {
        "shop": application_of(published.TENSORS, files=published.files()),
        "photos": application_of(published.PHOTO_TENSORS, files=published.photo_files()),
    }


@pytest.mark.parametrize(("path", "body", "answer"), EXAMPLES)
def test_a_request_of_the_page_is_answered_as_it_says(clients, path, body, answer):
    model = path.split("/")[3].partition(":")[0]

    response = clients[model].post(path.replace(model, "digits"), json=json.loads(body))

    actual = response.json | ({"model_name": model} if "model_name" in response.json else {})
    assert actual == json.loads(answer)
    assert response.status_code == (400 if "error" in actual else 200)


def test_the_page_has_an_example_of_each_protocol():
    assert len(EXAMPLES) == PAGE.count("```http") == 6
    assert {path for path, _, _ in EXAMPLES} == {
        f"/{protocol}" for protocol in (
            "v1/models/shop:predict", "v2/models/shop/infer",
            "v1/models/photos:predict", "v2/models/photos/infer",
        )
    }  # fmt: skip


def test_the_program_for_raw_tensors_sends_what_the_server_takes(clients):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(program.partition("with urlopen")[0], names)  # noqa: S102

    response = clients["shop"].post(
        "/v2/models/digits/infer", data=names["body"], headers=names["headers"]
    )

    assert np.allclose(response.json["outputs"][0]["data"], [6, 7.5, 1, 1, 3, 2, 3])


def test_the_limits_of_the_page_are_the_defaults():
    from overnight.infra.settings import Settings

    assert len(SETTINGS) == 4
    for name, value in SETTINGS:
        assert Settings.model_fields[name.lower()].default == int(value.replace(",", ""))
