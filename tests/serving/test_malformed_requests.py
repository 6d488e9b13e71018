"""Requests that nobody would write by hand: never a 5xx, always an error in words."""

import json
import random

import numpy as np

from tests.serving import bundles

REQUESTS = 1_500
VALUES = [None, True, -1, 0, 1, 2, 28, 255, 256, 1.5, 1e308, -(2**63), 2**64, "", "image", "UINT8",
          "\u0000", [], [[]], [None], {}, {"name": "image"}, {"b64": "AAAA"}]  # fmt: skip
PATHS = [
    "/v2/models/digits/infer",
    "/v1/models/digits:predict",
    f"/v2/models/digits/versions/{bundles.version_name(1)}/infer",
    "/v1/models/digits/labels/champion:predict",
]


def _valid(path: str) -> dict:
    image = np.zeros((1, 28, 28), int)
    if path.startswith("/v1"):
        return {"signature_name": "serving_default", "instances": image.tolist()}
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": image.tolist()}
    return {"id": "1", "inputs": [tensor], "outputs": [{"name": "seen"}], "parameters": {}}


def _spoil_values(chance: random.Random, value: object) -> object:
    """Walk down somewhere, and put something else there."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: _spoil_values(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], _spoil_values(chance, value[place]), *value[place + 1 :]]
    return chance.choice(VALUES)


def _spoil_bytes(chance: random.Random, body: bytes) -> bytes:
    """Cut, swap or repeat bytes."""
    start, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    junk = chance.choice([b"", b"\x00", b"\xff", b"NaN", b"[", b"}", b'"', b"1e999", b"\\ud800"])
    return body[:start] + junk + body[chance.choice([start, end]) :]


def test_no_malformed_request_is_a_fault_of_ours(client):
    chance = random.Random(20261122)
    statuses = set()
    for _ in range(REQUESTS):
        path = chance.choice(PATHS)
        spoiled = _valid(path)
        for _ in range(chance.randint(1, 3)):
            spoiled = _spoil_values(chance, spoiled)
        body = json.dumps(spoiled).encode()
        if chance.random() < 0.4:
            body = _spoil_bytes(chance, body)

        response = client.post(path, data=body, content_type="application/json")

        statuses.add(response.status_code)
        assert response.status_code in {200, 400, 413}, (path, body[:500])
        if response.status_code != 200:
            assert response.json["error"], (path, body[:500])
    assert statuses >= {200, 400}
